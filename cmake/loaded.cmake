# Tests of what survives, once more with every group and every step loaded as table files.
if(NOT KHONSU_DURABLE OR NOT KHONSU_HASH_FRONT)
  return()
endif()
# With a sanitizer one of them: the others take the same ways.
set(stems durable)
if(NOT KHONSU_SANITIZE)
  list(APPEND stems as_of backup changes outcome read_only verify)
endif()
foreach(stem IN LISTS stems)
  set(name "test_${stem}_loaded")
  add_executable(${name} "${PROJECT_SOURCE_DIR}/test/api/${stem}_test.c"
    "${PROJECT_SOURCE_DIR}/test/loaded/load_all.c")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/test"
    "${PROJECT_SOURCE_DIR}/src")
  target_include_directories(${name} SYSTEM PRIVATE "${CMOCKA_INCLUDE}")
  target_link_libraries(${name} PRIVATE khonsu_flags test_support
    $<TARGET_NAME_IF_EXISTS:api_support> khonsu_internal na_arrow "${CMOCKA_LIBRARY}")
  add_test(NAME ${name} COMMAND ${test_launcher} $<TARGET_FILE:${name}>)
  set_tests_properties(${name} PROPERTIES LABELS unit
    ENVIRONMENT "${test_environment}")
endforeach()
if(KHONSU_COVERAGE OR KHONSU_SANITIZE)
  return()
endif()
# And under kills and losses of power: every record takes the way of the large ones.
add_executable(khonsu_crash_loaded "${PROJECT_SOURCE_DIR}/test/crash/crash.c"
  "${PROJECT_SOURCE_DIR}/test/loaded/load_all.c")
set_target_properties(khonsu_crash_loaded PROPERTIES OUTPUT_NAME khonsu-crash-loaded)
target_compile_definitions(khonsu_crash_loaded PRIVATE _GNU_SOURCE)
target_include_directories(khonsu_crash_loaded PRIVATE "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(khonsu_crash_loaded PRIVATE khonsu_internal khonsu_flags Threads::Threads
  ${CMAKE_DL_LIBS})
# A lone record of it has some 1,500 bytes: its group goes into the write-ahead log where the limit
# is above, and those of several are loaded.
foreach(limit IN ITEMS 1 2500)
  add_test(NAME kill_loaded_${limit} COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
    "${PROJECT_SOURCE_DIR}/test/crash/kill.py" --crash $<TARGET_FILE:khonsu_crash_loaded>
    --rounds 25)
  add_test(NAME powerloss_loaded_${limit} COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
    "${PROJECT_SOURCE_DIR}/test/powerloss/campaign.py" --program
    $<TARGET_FILE:khonsu_crash_loaded> --shim $<TARGET_FILE:powerloss_shim>
    --run "{program} run {dir}/db 1 40" --check "{program} check-below" --cuts 40 --per-cut 4
    --directories prefix)
  set_tests_properties(kill_loaded_${limit} powerloss_loaded_${limit} PROPERTIES LABELS fault
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;KH_TEST_LOAD_BYTES=${limit}" TIMEOUT 300)
endforeach()
# Large ones as they are, behind small ones that nobody waits for.
add_executable(khonsu_order "${PROJECT_SOURCE_DIR}/test/loaded/order.c")
set_target_properties(khonsu_order PROPERTIES OUTPUT_NAME khonsu-order)
target_compile_definitions(khonsu_order PRIVATE _GNU_SOURCE)
target_link_libraries(khonsu_order PRIVATE khonsu khonsu_flags ${CMAKE_DL_LIBS})
add_test(NAME powerloss_order COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
  "${PROJECT_SOURCE_DIR}/test/powerloss/campaign.py" --shim $<TARGET_FILE:powerloss_shim>
  --run "$<TARGET_FILE:khonsu_order> run {dir} 5" --check "$<TARGET_FILE:khonsu_order> check"
  --cuts 40 --per-cut 3 --directories prefix)
set_tests_properties(powerloss_order PROPERTIES LABELS fault
  ENVIRONMENT PYTHONDONTWRITEBYTECODE=1 TIMEOUT 300)
