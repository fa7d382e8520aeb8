# The workload that is killed (and, under the shim of test/powerloss, robbed of its power), and the
# rounds of the suite. Of plain builds: a killed sanitizer says nothing.
if(NOT KHONSU_DURABLE OR KHONSU_COVERAGE OR NOT KHONSU_HASH_FRONT)
  return()
endif()
add_executable(khonsu_crash "${PROJECT_SOURCE_DIR}/test/crash/crash.c")
set_target_properties(khonsu_crash PROPERTIES OUTPUT_NAME khonsu-crash)
target_compile_definitions(khonsu_crash PRIVATE _GNU_SOURCE)
target_link_libraries(khonsu_crash PRIVATE khonsu khonsu_flags Threads::Threads ${CMAKE_DL_LIBS})
if(NOT KHONSU_SANITIZE)
  add_test(NAME kill COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
    "${PROJECT_SOURCE_DIR}/test/crash/kill.py" --crash $<TARGET_FILE:khonsu_crash> --rounds 50)
  set_tests_properties(kill PROPERTIES LABELS fault ENVIRONMENT PYTHONDONTWRITEBYTECODE=1
    TIMEOUT 300)
endif()
# What a loss of power would leave of it, judged by the recorded writes of one run.
if(NOT KHONSU_SANITIZE)
  add_test(NAME powerloss COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
    "${PROJECT_SOURCE_DIR}/test/powerloss/campaign.py" --shim $<TARGET_FILE:powerloss_shim>
    --run "$<TARGET_FILE:khonsu_crash> run {dir}/db 1 60"
    --check "$<TARGET_FILE:khonsu_crash> check-below" --cuts 40 --per-cut 4
    --directories prefix)
  set_tests_properties(powerloss PROPERTIES LABELS fault ENVIRONMENT PYTHONDONTWRITEBYTECODE=1
    TIMEOUT 300)
endif()
