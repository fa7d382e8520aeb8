# Fuzz targets: fuzz/<name>.c with libFuzzer, a seed corpus in fuzz/corpus/<name>. The test runs
# each for a short while on a copy, so that what it finds is not written into the source tree.

if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "the fuzz targets need clang (libFuzzer)")
endif()
# A minute in all.
set(KHONSU_FUZZ_SECONDS 8 CACHE STRING "how long the test runs each fuzz target")

# What targets share: a hostile producer, and an opinion of Arrow arrays that is not the library's.
file(GLOB kit_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/fuzz/kit/*.c")
add_library(fuzz_kit STATIC ${kit_sources} "${PROJECT_SOURCE_DIR}/test/support/foreign.c"
  "${PROJECT_SOURCE_DIR}/test/support/foreign_fill.c"
  "${PROJECT_SOURCE_DIR}/test/support/foreign_text.c")
target_include_directories(fuzz_kit PUBLIC "${PROJECT_SOURCE_DIR}/fuzz" "${PROJECT_SOURCE_DIR}/test"
  "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(fuzz_kit PUBLIC khonsu_flags)

# The program's sources in a world without files; of the demo only its options.
file(GLOB cli_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/cli/*.c")
list(FILTER cli_sources EXCLUDE REGEX "/demo_[a-z]+\\.c$")
# What works on directories must not get its paths from a fuzzer.
list(FILTER cli_sources EXCLUDE REGEX
  "/(command_(backup|changes|compact|head|log|restore|verify)|delta_log)\\.c$")
list(FILTER cli_sources EXCLUDE REGEX "/workspace_(commit|compare|list|refusal|seen)\\.c$")
add_library(fuzz_cli_sources OBJECT ${cli_sources})
target_compile_definitions(fuzz_cli_sources PRIVATE FUZZ_CLI_SOURCE)
target_compile_options(fuzz_cli_sources PRIVATE -fsanitize=fuzzer-no-link
  -include "${PROJECT_SOURCE_DIR}/fuzz/kit/cli_world.h")
target_include_directories(fuzz_cli_sources PRIVATE "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(fuzz_cli_sources PRIVATE khonsu_flags)

file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/fuzz/*.c")
foreach(source IN LISTS sources)
  get_filename_component(stem "${source}" NAME_WE)
  set(name "fuzz_${stem}")
  add_executable(${name} "${source}")
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE khonsu_flags fuzz_kit khonsu_internal)
  add_test(NAME ${name} COMMAND "${PROJECT_SOURCE_DIR}/tools/fuzz_briefly.sh"
    $<TARGET_FILE:${name}> "${PROJECT_SOURCE_DIR}/fuzz" ${stem}
    "${CMAKE_BINARY_DIR}/corpus/${stem}" ${KHONSU_FUZZ_SECONDS})
  set_tests_properties(${name} PROPERTIES LABELS fuzz)
endforeach()
target_link_libraries(fuzz_cli PRIVATE fuzz_cli_sources)

# Coverage feedback has to come from the code under test.
target_compile_options(khonsu_objects PRIVATE -fsanitize=fuzzer-no-link)
target_compile_options(na_arrow PRIVATE -fsanitize=fuzzer-no-link)
target_compile_options(na_flatcc PRIVATE -fsanitize=fuzzer-no-link)
