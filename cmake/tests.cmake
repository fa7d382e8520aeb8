# The tests. A file in a directory of test/ is a program of its own, labelled with the directory.

enable_language(CXX)
find_path(CMOCKA_INCLUDE cmocka.h REQUIRED)
find_library(CMOCKA_LIBRARY cmocka REQUIRED)

# Shared by test programs: models that know nothing of the library, and drivers that know khonsu.h.
# Linked to whichever library the program itself is linked to.
file(GLOB support_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/model/*.c"
  "${PROJECT_SOURCE_DIR}/test/support/*.c")
if(support_sources)
  add_library(test_support STATIC ${support_sources})
  target_include_directories(test_support PUBLIC "${PROJECT_SOURCE_DIR}/include"
    "${PROJECT_SOURCE_DIR}/test" PRIVATE "${PROJECT_SOURCE_DIR}/src")
  # Kits of unit tests look into the rooms; a test of the public interface never pulls them in.
  target_include_directories(test_support PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_include_directories(test_support SYSTEM PUBLIC "${CMOCKA_INCLUDE}")
  target_link_libraries(test_support PUBLIC khonsu_flags)
endif()

set(tsan_options halt_on_error=1 second_deadlock_stack=1
  "suppressions=${PROJECT_SOURCE_DIR}/test/tsan.supp")
list(JOIN tsan_options ":" tsan_options)
set(test_environment "ASAN_OPTIONS=detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=print_stacktrace=1" 
  "TSAN_OPTIONS=${tsan_options}")
# The thread sanitizer's shadow memory does not fit every address layout that a kernel may choose.
set(test_launcher)
if(KHONSU_SANITIZE MATCHES "thread")
  set(test_launcher setarch -R)
endif()

set(of_one_thread "as_of|durable_fork|flip|ipc_memory|ipc_read|meaning|merge_serial|policy_matrix"
  "together_between|together_meaning|together_mixed|together_rows")
list(JOIN of_one_thread "|" of_one_thread)

# Whose answers have nothing to do with how a key is found: built and run with the hash front only.
set(apart_from_index "access|arena|audit|backup.*|batch|beside_writer|builder|cell|chain|chdir"
  "cli_.*|close|column|delta.*|digest|durable.*|env.*|export|flip|gather.*|group|half|hash|home|ids"
  "id_index|import|ipc_.*|latch|lock.*|log_.*|mem.*|meaning|merkle|metric|mutations|owned|pack"
  "plan|proof|raw|reach|record.*|rocks_load|room|rows.*|schema.*|semantic.*|stats_text|status"
  "together.*|utf8|validate.*|watch.*|workspace.*")
list(JOIN apart_from_index "|" apart_from_index)

function(khonsu_add_program source directory label)
  get_filename_component(stem "${source}" NAME_WE)
  string(REGEX REPLACE "^test_|_test$" "" stem "${stem}")
  # Of that part, from within.
  if(NOT KHONSU_DURABLE AND stem MATCHES "^(close|flip|log_roots|rocks_load|setback)$")
    return()
  endif()
  if(KHONSU_SANITIZE AND stem STREQUAL "close") # has its own of what a sanitizer wraps
    return()
  endif()
  if(NOT KHONSU_HASH_FRONT AND stem MATCHES "^(${apart_from_index})$")
    return()
  endif()
  set(name "test_${stem}")
  if(TARGET ${name})
    set(name "test_${directory}_${stem}")
  endif()
  add_executable(${name} "${source}")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/test")
  target_include_directories(${name} SYSTEM PRIVATE "${CMOCKA_INCLUDE}" "${XXHASH_INCLUDE}")
  # The support archive first: it needs the library that follows.
  target_link_libraries(${name} PRIVATE khonsu_flags $<TARGET_NAME_IF_EXISTS:test_support> ${ARGN}
    "${CMOCKA_LIBRARY}")
  # One thread, or hundreds of processes, which have nothing to race with: a minute becomes ten.
  if(KHONSU_SANITIZE MATCHES "thread" AND stem MATCHES "^(${of_one_thread})$")
    return()
  endif()
  add_test(NAME ${name} COMMAND ${test_launcher} $<TARGET_FILE:${name}>)
  set_tests_properties(${name} PROPERTIES LABELS ${label} ENVIRONMENT "${test_environment}")
  # Tests that bring their own log or directory run once.
  if(stem MATCHES "^(as_of|backup|changes|durable|load|opening|outcome|read_only|storage|verify)")
    return()
  endif()
  # The same promises over a user's log, whose answers come when somebody waits for them.
  if(directory MATCHES "^(api|isolation)$")
    add_test(NAME ${name}_over_log COMMAND ${test_launcher} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_over_log PROPERTIES LABELS ${label}
      ENVIRONMENT "${test_environment};KH_TEST_LOG=flush")
  endif()
  # And over a directory (but for the one that opens some thousand databases).
  if(KHONSU_DURABLE AND KHONSU_HASH_FRONT AND directory MATCHES "^(api|isolation)$" AND
     NOT stem STREQUAL "ssi_cases")
    add_test(NAME ${name}_over_path COMMAND ${test_launcher} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_over_path PROPERTIES LABELS ${label}
      ENVIRONMENT "${test_environment};KH_TEST_LOG=path")
  endif()
  # And with values that leave memory whenever they can.
  if(KHONSU_DURABLE AND KHONSU_HASH_FRONT AND NOT KHONSU_SANITIZE MATCHES "thread" AND
     stem MATCHES "^(deferrable|dropped_writes|hermitage|policy_.*|savepoints|live|model)$")
    add_test(NAME ${name}_over_cold COMMAND ${test_launcher} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_over_cold PROPERTIES LABELS ${label}
      ENVIRONMENT "${test_environment};KH_TEST_LOG=cold;KH_TEST_WORLDS=12")
  endif()
endfunction()

foreach(directory IN ITEMS unit exhaustive property isolation fault)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/${directory}/*.c")
  foreach(source IN LISTS sources)
    khonsu_add_program("${source}" ${directory} ${directory} khonsu_internal)
  endforeach()
endforeach()

# What a program outside sees: the shared library and the public headers (and a nanoarrow of its own
# to make arrays with).
file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/api/*.c")
foreach(source IN LISTS sources)
  khonsu_add_program("${source}" api unit
    $<TARGET_NAME_IF_EXISTS:api_support> khonsu na_arrow)
endforeach()

include(cmake/stress.cmake)
include(cmake/crash.cmake)
include(cmake/loaded.cmake)
include(cmake/examples.cmake)
# The history driver under each build's sanitizers; its histories are judged by Python, below.
foreach(case IN ITEMS "list-append --mix" "rw-register --scans --mix" "bank --mix" "group" "kv")
  string(REPLACE " " ";" arguments "${case}")
  list(GET arguments 0 workload)
  add_test(NAME workload_${workload} COMMAND ${test_launcher}
    $<TARGET_FILE:khonsu_workload_program> --isolation serializable --transactions 2000
    --out /dev/null --workload ${arguments})
  set_tests_properties(workload_${workload} PROPERTIES LABELS integration
    ENVIRONMENT "${test_environment}")
endforeach()
# What tools/ipc_foreign.py feeds the files of other projects to.
add_executable(ipc_copy "${PROJECT_SOURCE_DIR}/test/tools/ipc_copy.c")
target_link_libraries(ipc_copy PRIVATE khonsu_flags khonsu)
# What the test of tools/check_proof.py takes its proofs from.
add_executable(proof_make "${PROJECT_SOURCE_DIR}/test/tools/proof_make.c")
target_link_libraries(proof_make PRIVATE khonsu_flags khonsu_internal)
# Databases that are kept for later versions, and what is in them. RocksDB asks the program for the
# name of the machine, so its symbols are exported.
add_executable(khonsu_golden "${PROJECT_SOURCE_DIR}/test/golden/golden.c"
  "${PROJECT_SOURCE_DIR}/test/golden/golden_make.c"
  "${PROJECT_SOURCE_DIR}/test/golden/golden_dump.c")
set_target_properties(khonsu_golden PROPERTIES OUTPUT_NAME khonsu-golden ENABLE_EXPORTS ON)
target_link_libraries(khonsu_golden PRIVATE khonsu_flags test_support khonsu)
# The planted bugs of test/mutants, each with the build in which its test finds it. They take what
# this build has made; two at a time, and nothing beside.
function(khonsu_add_mutants kind)
  add_test(NAME mutants_${kind} COMMAND "${PROJECT_SOURCE_DIR}/build/venv/bin/python"
    "${PROJECT_SOURCE_DIR}/tools/mutants.py" --build "${CMAKE_BINARY_DIR}" --kind ${kind})
  set_tests_properties(mutants_${kind} PROPERTIES LABELS mutants PROCESSORS 2 TIMEOUT 1200
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endfunction()

if(CMAKE_BUILD_TYPE STREQUAL "Debug" AND KHONSU_HASH_FRONT AND NOT KHONSU_COVERAGE)
  if(NOT KHONSU_SANITIZE)
    khonsu_add_mutants(dev)
  elseif(KHONSU_SANITIZE MATCHES "address")
    khonsu_add_mutants(asan)
  elseif(KHONSU_SANITIZE MATCHES "thread")
    khonsu_add_mutants(tsan)
  endif()
endif()

# The rest is of one build only: sanitizers and coverage change what is linked, and Python does not
# carry their runtime.
if(KHONSU_SANITIZE OR KHONSU_COVERAGE)
  return()
endif()

set(venv_python "${PROJECT_SOURCE_DIR}/build/venv/bin/python")
set(python_environment PYTHONDONTWRITEBYTECODE=1
  "PYTHONPATH=${PROJECT_SOURCE_DIR}/python:${PROJECT_SOURCE_DIR}/tools"
  "KHONSU_LIB=$<TARGET_FILE:khonsu>" "KHONSU_DATA=${PROJECT_SOURCE_DIR}/build/data")
list(APPEND python_environment "KHONSU_IPC_COPY=$<TARGET_FILE:ipc_copy>"
  "KHONSU_PROOF_MAKE=$<TARGET_FILE:proof_make>" "KHONSU_GOLDEN=$<TARGET_FILE:khonsu_golden>")
if(TARGET khonsu_program)
  list(APPEND python_environment "KHONSU_BIN=$<TARGET_FILE:khonsu_program>")
endif()
if(TARGET khonsu_workload_program)
  list(APPEND python_environment
    "KHONSU_WORKLOAD=$<TARGET_FILE:khonsu_workload_program>")
endif()

# A file whose name starts with an underscore is imported by the others.
function(khonsu_add_python_tests directory label)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/${directory}/[a-z]*.py")
  foreach(source IN LISTS sources)
    get_filename_component(stem "${source}" NAME_WE)
    string(REGEX REPLACE "^test_|_test$" "" stem "${stem}")
    set(name "${directory}_${stem}")
    add_test(NAME ${name} COMMAND "${venv_python}" "${source}")
    set_tests_properties(${name} PROPERTIES LABELS ${label} ENVIRONMENT "${python_environment}")
  endforeach()
endfunction()

khonsu_add_python_tests(python integration)
khonsu_add_python_tests(tools house)
include(cmake/powerloss.cmake)

function(khonsu_add_house_test name)
  add_test(NAME house_${name} COMMAND ${ARGN} COMMAND_EXPAND_LISTS)
  set_tests_properties(house_${name} PROPERTIES LABELS house)
endfunction()

khonsu_add_house_test(rules
  "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/check_house.py" "${PROJECT_SOURCE_DIR}")
khonsu_add_house_test(documents "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/api_docs.py" --check
  "${PROJECT_SOURCE_DIR}")
khonsu_add_house_test(reliability "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/prove.py" --check)
khonsu_add_house_test(tables "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/docs_tables.py" --check
  "${PROJECT_SOURCE_DIR}" $<TARGET_FILE:test_hermitage> $<TARGET_FILE:test_policy_matrix>)
khonsu_add_house_test(exports "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/check_symbols.py"
  exports $<TARGET_FILE:khonsu> "${khonsu_static_archive}" "${PROJECT_SOURCE_DIR}/include")
khonsu_add_house_test(calls "${venv_python}" "${PROJECT_SOURCE_DIR}/tools/check_symbols.py"
  calls $<TARGET_OBJECTS:khonsu_objects>)
khonsu_add_house_test(headers "${PROJECT_SOURCE_DIR}/test/tools/headers.sh"
  "${CMAKE_C_COMPILER}" "${CMAKE_CXX_COMPILER}" "${PROJECT_SOURCE_DIR}/include")
khonsu_add_house_test(install "${PROJECT_SOURCE_DIR}/test/install/install.sh"
  "${CMAKE_BINARY_DIR}" "${CMAKE_C_COMPILER}" "${CMAKE_CXX_COMPILER}")
