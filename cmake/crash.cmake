# Processes that are killed, or whose calls of the system fail (and, under the shim of
# test/powerloss, are robbed of their power): the workloads, the shim, and the rounds of the suite.
# Of plain builds: a killed sanitizer says nothing.
if(NOT KHONSU_DURABLE OR KHONSU_COVERAGE OR NOT KHONSU_HASH_FRONT)
  return()
endif()
set(crash_source "${PROJECT_SOURCE_DIR}/test/crash")
function(khonsu_add_crash_program name)
  add_executable(khonsu_${name} ${ARGN})
  set_target_properties(khonsu_${name} PROPERTIES OUTPUT_NAME khonsu-${name})
  target_compile_definitions(khonsu_${name} PRIVATE _GNU_SOURCE)
  target_link_libraries(khonsu_${name} PRIVATE khonsu khonsu_flags Threads::Threads
    ${CMAKE_DL_LIBS})
endfunction()
khonsu_add_crash_program(crash "${crash_source}/crash.c")
khonsu_add_crash_program(life "${crash_source}/life.c" "${crash_source}/life_backup.c"
  "${crash_source}/life_model.c" "${crash_source}/life_read.c")
if(KHONSU_SANITIZE)
  return()
endif()

add_library(fault_shim MODULE "${crash_source}/fault_shim.c" "${crash_source}/fault_bytes.c"
  "${crash_source}/fault_names.c")
set_target_properties(fault_shim PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden)
# Fortified headers would define inline what is to be defined here.
target_compile_options(fault_shim PRIVATE -U_FORTIFY_SOURCE)
target_compile_definitions(fault_shim PRIVATE _GNU_SOURCE)
target_link_libraries(fault_shim PRIVATE khonsu_flags ${CMAKE_DL_LIBS})

function(khonsu_add_crash_test name)
  add_test(NAME ${name} COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python" ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS fault ENVIRONMENT PYTHONDONTWRITEBYTECODE=1
    TIMEOUT 300)
endfunction()
set(outside_programs --life $<TARGET_FILE:khonsu_life> --shim $<TARGET_FILE:fault_shim>)
khonsu_add_crash_test(kill "${crash_source}/kill.py" --crash $<TARGET_FILE:khonsu_crash>
  ${outside_programs} --rounds 50)
khonsu_add_crash_test(failed_calls "${crash_source}/failed_calls.py" ${outside_programs})
# What a loss of power would leave of it, judged by the recorded writes of one run.
khonsu_add_crash_test(powerloss "${PROJECT_SOURCE_DIR}/test/powerloss/campaign.py"
  --shim $<TARGET_FILE:powerloss_shim>
  --run "$<TARGET_FILE:khonsu_crash> run {dir}/db 1 60"
  --check "$<TARGET_FILE:khonsu_crash> check-below" --cuts 40 --per-cut 4
  --directories prefix)
