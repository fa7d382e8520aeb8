# Compiler flags: khonsu_warnings, and khonsu_flags for what all of our C is compiled with.

add_library(khonsu_warnings INTERFACE)
# Without -Wsign-conversion (which C's -Wconversion would bring): sizes and counts meet Arrow's
# signed lengths on every other line, and a cast on each would hide the ones that matter.
target_compile_options(khonsu_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef
  -Wformat=2 -Wconversion -Wno-sign-conversion -Wpointer-arith -Wwrite-strings
  -Wimplicit-fallthrough -Wdouble-promotion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wnested-externs>)
if(KHONSU_WERROR)
  target_compile_options(khonsu_warnings INTERFACE -Werror)
endif()

add_library(khonsu_flags INTERFACE)
# Assertions name their file as it stands in the repository, wherever that was built.
target_compile_options(khonsu_flags INTERFACE "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")
target_link_libraries(khonsu_flags INTERFACE khonsu_warnings Threads::Threads)
target_compile_definitions(khonsu_flags INTERFACE _POSIX_C_SOURCE=200809L
  KH_HASH_FRONT=$<BOOL:${KHONSU_HASH_FRONT}>)

# Debug builds are for the tests: fast enough to enumerate interleavings, and with the checks that
# cost too much elsewhere. -O2 in release, not -O3: the hot paths are chains of dependent loads.
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(khonsu_flags INTERFACE KH_SLOW_CHECKS=1)
endif()

# popcnt, SSE4.2 and cmpxchg16b: any x86 server since 2009.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(khonsu_flags INTERFACE -march=x86-64-v2)
endif()

# Sanitizers and coverage hold for every file of the build, nanoarrow's included.
if(KHONSU_SANITIZE)
  add_compile_options(-fsanitize=${KHONSU_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KHONSU_SANITIZE})
  # gcc cannot follow a variable through the instrumentation.
  target_compile_options(khonsu_warnings INTERFACE
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(KHONSU_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
if(KHONSU_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
