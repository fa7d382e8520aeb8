# Loss of power: the shim that records writes, programs that run under it, and the tests of the
# instrument itself. None of it knows khonsu.

file(GLOB shim_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/powerloss/shim*.c")
add_library(powerloss_shim MODULE ${shim_sources})
set_target_properties(powerloss_shim PROPERTIES OUTPUT_NAME powerloss PREFIX ""
  C_VISIBILITY_PRESET hidden)
# Fortified headers would define inline what is to be defined here.
target_compile_options(powerloss_shim PRIVATE -U_FORTIFY_SOURCE)
target_compile_definitions(powerloss_shim PRIVATE _GNU_SOURCE)
target_link_libraries(powerloss_shim PRIVATE khonsu_flags ${CMAKE_DL_LIBS})

set(powerloss_environment ${python_environment}
  "POWERLOSS_SHIM=$<TARGET_FILE:powerloss_shim>")

function(khonsu_add_powerloss_program name)
  add_executable(powerloss_${name} "${PROJECT_SOURCE_DIR}/test/powerloss/${name}.c")
  target_compile_definitions(powerloss_${name} PRIVATE _GNU_SOURCE)
  target_link_libraries(powerloss_${name} PRIVATE khonsu_flags ${CMAKE_DL_LIBS} ${ARGN})
  string(TOUPPER "${name}" variable)
  list(APPEND powerloss_environment "POWERLOSS_${variable}=$<TARGET_FILE:powerloss_${name}>")
  set(powerloss_environment "${powerloss_environment}" PARENT_SCOPE)
endfunction()

khonsu_add_powerloss_program(appender)
khonsu_add_powerloss_program(every_call)
find_path(POWERLOSS_ROCKSDB_INCLUDE rocksdb/c.h)
find_library(POWERLOSS_ROCKSDB_LIBRARY rocksdb)
if(POWERLOSS_ROCKSDB_INCLUDE AND POWERLOSS_ROCKSDB_LIBRARY)
  khonsu_add_powerloss_program(rocks "${POWERLOSS_ROCKSDB_LIBRARY}")
  target_include_directories(powerloss_rocks SYSTEM PRIVATE "${POWERLOSS_ROCKSDB_INCLUDE}")
endif()

file(GLOB powerloss_tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/powerloss/*_test.py")
foreach(source IN LISTS powerloss_tests)
  get_filename_component(stem "${source}" NAME_WE)
  string(REGEX REPLACE "_test$" "" stem "${stem}")
  add_test(NAME powerloss_${stem} COMMAND "${venv_python}" "${source}")
  set_tests_properties(powerloss_${stem} PROPERTIES LABELS fault
    ENVIRONMENT "${powerloss_environment}")
endforeach()
