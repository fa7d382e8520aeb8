# The stress program: the shared library and khonsu.h alone. A minute in the suite, hours by
# `make stress SECONDS=3600`.

file(GLOB stress_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/stress/*.c")
add_executable(khonsu_stress ${stress_sources})
set_target_properties(khonsu_stress PROPERTIES OUTPUT_NAME khonsu-stress)
target_link_libraries(khonsu_stress PRIVATE khonsu_flags khonsu)

set(KHONSU_STRESS_SECONDS 60 CACHE STRING "how long the suite's stress runs")
set(stress_seconds ${KHONSU_STRESS_SECONDS})
if(KHONSU_SANITIZE OR KHONSU_COVERAGE)
  math(EXPR stress_seconds "${stress_seconds} / 3")
endif()
add_test(NAME stress COMMAND ${test_launcher} $<TARGET_FILE:khonsu_stress>
  --seconds ${stress_seconds})
set_tests_properties(stress PROPERTIES LABELS stress ENVIRONMENT "${test_environment}")
