# Third-party C: nanoarrow, and the flatcc, lz4 and zstd that its source archive carries.
#
# The archive comes through pip (tools/fetch.py), is checked against tools/sources.txt and is
# unpacked outside the source tree. nanoarrow and flatcc are compiled with each build's own flags,
# so that sanitizers see them; the codecs once, at -O2, for all builds that share the directory:
# they are most of the compile time and have no business being slow in a debug build.
#
# Gives the targets na_arrow, na_flatcc and na_codecs: static, position-independent, and private to
# the library (cmake/khonsu.map and cmake/static.cmake keep their symbols inside).

set(KHONSU_THIRD_PARTY_DIR "${CMAKE_BINARY_DIR}/third_party" CACHE PATH
    "where third-party sources are unpacked and codecs are built; builds may share it")
set(KHONSU_NANOARROW_SDIST "" CACHE FILEPATH
    "a copy of nanoarrow's source archive, for builds without a package index")

file(STRINGS "${PROJECT_SOURCE_DIR}/tools/sources.txt" na_line REGEX "^nanoarrow==")
string(REGEX REPLACE "^nanoarrow==([0-9.]+) .*sha256:([0-9a-f]+)$" "\\1;\\2" na_pin "${na_line}")
list(GET na_pin 0 na_version)
list(GET na_pin 1 na_sha256)

# Finds or fetches the archive; leaves its path in na_archive.
function(na_fetch)
  set(archive "${KHONSU_NANOARROW_SDIST}")
  if(NOT archive)
    set(python "${PROJECT_SOURCE_DIR}/build/venv/bin/python")
    if(NOT EXISTS "${python}")
      find_program(python3 python3 REQUIRED NO_CACHE)
      set(python "${python3}")
    endif()
    execute_process(
      COMMAND "${python}" "${PROJECT_SOURCE_DIR}/tools/fetch.py" nanoarrow
              "${KHONSU_THIRD_PARTY_DIR}/archives"
      OUTPUT_VARIABLE archive OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "nanoarrow's source could not be fetched: run `make setup` first (it "
        "makes a Python with pip), or name a copy with -DKHONSU_NANOARROW_SDIST=FILE")
    endif()
  endif()
  file(SHA256 "${archive}" digest)
  if(NOT digest STREQUAL na_sha256)
    message(FATAL_ERROR "${archive}: SHA-256 is ${digest}, should be ${na_sha256}")
  endif()
  set(na_archive "${archive}" PARENT_SCOPE)
endfunction()

# Unpacks beside the final place and renames, so that a directory that exists is complete.
function(na_unpack)
  na_fetch()
  set(fresh "${KHONSU_THIRD_PARTY_DIR}/fresh")
  file(REMOVE_RECURSE "${fresh}")
  file(ARCHIVE_EXTRACT INPUT "${na_archive}" DESTINATION "${fresh}")
  file(RENAME "${fresh}/nanoarrow-${na_version}" "${na_root}")
  file(REMOVE_RECURSE "${fresh}")
endfunction()

function(na_build_codecs)
  set(build "${KHONSU_THIRD_PARTY_DIR}/codecs")
  message(STATUS "Building lz4 and zstd (once)")
  file(REMOVE_RECURSE "${build}")
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -S "${PROJECT_SOURCE_DIR}/cmake/codecs" -B "${build}" -G Ninja
            -DCMAKE_BUILD_TYPE=Release "-DSOURCES=${na_root}/subprojects"
            "-DCMAKE_C_COMPILER=${CMAKE_C_COMPILER}"
            "-DCMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER}"
    COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${build}" --parallel 2
    COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
  file(RENAME "${build}/libcodecs.a" "${na_codecs_archive}")
  file(REMOVE_RECURSE "${build}")
endfunction()

set(na_root "${KHONSU_THIRD_PARTY_DIR}/nanoarrow-${na_version}")
file(SHA256 "${PROJECT_SOURCE_DIR}/cmake/codecs/CMakeLists.txt" na_recipe)
string(SUBSTRING "${na_recipe}" 0 8 na_recipe)
set(na_codecs_archive "${KHONSU_THIRD_PARTY_DIR}/libcodecs-${na_version}-${na_recipe}.a")
file(MAKE_DIRECTORY "${KHONSU_THIRD_PARTY_DIR}")
file(LOCK "${KHONSU_THIRD_PARTY_DIR}/lock" GUARD FILE TIMEOUT 600)
if(NOT EXISTS "${na_root}")
  na_unpack()
endif()
if(NOT EXISTS "${na_codecs_archive}")
  na_build_codecs()
endif()
file(LOCK "${KHONSU_THIRD_PARTY_DIR}/lock" RELEASE)

# A prefix of our own keeps the names apart from a nanoarrow that an embedding program has itself.
set(NANOARROW_NAMESPACE_DEFINE "#define NANOARROW_NAMESPACE khonsu_na")
string(REPLACE "." ";" na_parts "${na_version}")
list(GET na_parts 0 NANOARROW_VERSION_MAJOR)
list(GET na_parts 1 NANOARROW_VERSION_MINOR)
list(GET na_parts 2 NANOARROW_VERSION_PATCH)
set(NANOARROW_VERSION "${na_version}")
set(na_generated "${CMAKE_BINARY_DIR}/generated")
configure_file("${na_root}/subprojects/arrow-nanoarrow/src/nanoarrow/nanoarrow_config.h.in"
  "${na_generated}/nanoarrow/nanoarrow_config.h")

file(GLOB na_flatcc_root "${na_root}/subprojects/flatcc-*")
set(na_source "${na_root}/subprojects/arrow-nanoarrow/src")

function(na_library name)
  add_library(${name} STATIC ${ARGN})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
    C_VISIBILITY_PRESET hidden EXPORT_COMPILE_COMMANDS OFF)
  # Other people's warnings, and their undefined behaviour that harms nobody (null pointers with a
  # length of 0), are theirs to fix. NANOARROW_DLL would make its functions visible.
  target_compile_options(${name} PRIVATE -w -fno-sanitize=undefined)
  target_compile_definitions(${name} PUBLIC NANOARROW_DLL=)
endfunction()

# Only the headers that are meant: beside them lies an old xxhash.h, which would hide the system's.
file(COPY "${na_root}/subprojects/lz4-1.10.0/lib/lz4.h"
  "${na_root}/subprojects/lz4-1.10.0/lib/lz4frame.h"
  "${na_root}/subprojects/lz4-1.10.0/lib/lz4hc.h"
  "${na_root}/subprojects/zstd-1.5.6/lib/zstd.h"
  "${na_root}/subprojects/zstd-1.5.6/lib/zstd_errors.h"
  DESTINATION "${na_generated}")

add_library(na_codecs STATIC IMPORTED)
set_target_properties(na_codecs PROPERTIES IMPORTED_LOCATION "${na_codecs_archive}")
target_include_directories(na_codecs SYSTEM INTERFACE "${na_generated}")

na_library(na_flatcc "${na_flatcc_root}/src/runtime/builder.c"
  "${na_flatcc_root}/src/runtime/emitter.c" "${na_flatcc_root}/src/runtime/refmap.c"
  "${na_flatcc_root}/src/runtime/verifier.c")
target_include_directories(na_flatcc SYSTEM PUBLIC "${na_flatcc_root}/include")

set(na_parts common/array common/array_stream common/schema common/utils ipc/codecs ipc/decoder
  ipc/encoder ipc/reader ipc/writer)
list(TRANSFORM na_parts REPLACE "(.+)" "${na_source}/nanoarrow/\\1.c")
na_library(na_arrow ${na_parts})
target_include_directories(na_arrow SYSTEM PUBLIC "${na_source}" "${na_generated}")
target_compile_definitions(na_arrow PRIVATE NANOARROW_IPC_WITH_ZSTD NANOARROW_IPC_WITH_LZ4)
target_link_libraries(na_arrow PUBLIC na_flatcc na_codecs)
