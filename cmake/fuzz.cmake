# Fuzz targets: fuzz/<name>.c with libFuzzer, a seed corpus in fuzz/corpus/<name>. The test runs
# each for a short while on a copy, so that what it finds is not written into the source tree.

if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "the fuzz targets need clang (libFuzzer)")
endif()
set(KHONSU_FUZZ_SECONDS 10 CACHE STRING "how long the test runs each fuzz target")

file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/fuzz/*.c")
foreach(source IN LISTS sources)
  get_filename_component(stem "${source}" NAME_WE)
  set(name "fuzz_${stem}")
  add_executable(${name} "${source}")
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE khonsu_flags khonsu_internal)
  add_test(NAME ${name} COMMAND "${PROJECT_SOURCE_DIR}/tools/fuzz_briefly.sh"
    $<TARGET_FILE:${name}> "${PROJECT_SOURCE_DIR}/fuzz/corpus/${stem}"
    "${CMAKE_BINARY_DIR}/corpus/${stem}" ${KHONSU_FUZZ_SECONDS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz)
endforeach()
# Coverage feedback has to come from the code under test.
target_compile_options(khonsu_objects PRIVATE -fsanitize=fuzzer-no-link)
target_compile_options(na_arrow PRIVATE -fsanitize=fuzzer-no-link)
target_compile_options(na_flatcc PRIVATE -fsanitize=fuzzer-no-link)
