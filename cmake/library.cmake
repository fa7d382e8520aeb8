# libkhonsu and the khonsu program.
#
#   khonsu_objects   every room of the library, compiled once
#   khonsu           the shared library: exports kh_*, version KHONSU_0, nothing else
#   khonsu_internal  a plain archive with all symbols: for tests of what is inside
#   libkhonsu.a      the archive for embedding programs: one object in which only kh_* is global, so
#                    that our names and those of the third-party code inside cannot meet theirs
#   khonsu_program   bin/khonsu, which knows the public headers and the shared library
#   khonsu_workload_program   bin/khonsu-workload, the same

set(KHONSU_ROOMS base batch store log txn db)
set(room_sources)
foreach(room IN LISTS KHONSU_ROOMS)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${room}/*.c")
  list(APPEND room_sources ${sources})
endforeach()

# What is off is not compiled, and a file that says so takes its place.
if(KHONSU_DURABLE)
  list(FILTER room_sources EXCLUDE REGEX "/(durable|changes|backup)_absent\\.c$")
  set(khonsu_rocksdb rocksdb)
else()
  list(FILTER room_sources EXCLUDE REGEX
    "/(rocks_[a-z_]*|durable|identity|closed|prove|verify|changes|changes_(find|read|stream))\\.c$")
  list(FILTER room_sources EXCLUDE REGEX "/(at_rest|clone|backup|backup_(list|restore))\\.c$")
  set(khonsu_rocksdb)
endif()

add_library(khonsu_objects OBJECT ${room_sources})
set_target_properties(khonsu_objects PROPERTIES POSITION_INDEPENDENT_CODE ON
  C_VISIBILITY_PRESET hidden)
target_include_directories(khonsu_objects PUBLIC "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/src")
target_include_directories(khonsu_objects SYSTEM PRIVATE "${XXHASH_INCLUDE}")
target_link_libraries(khonsu_objects PUBLIC khonsu_flags PRIVATE na_arrow ck OpenSSL::Crypto
  ${khonsu_rocksdb})
# initial-exec: the general model costs a call for each access to a thread's own variable.
target_compile_options(khonsu_objects PRIVATE -fno-semantic-interposition
  -ftls-model=initial-exec)

# Sums of deltas are the same bits on every machine: a product is rounded before it is added.
file(GLOB delta_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/txn/delta*.c")
set_source_files_properties(${delta_sources} PROPERTIES COMPILE_OPTIONS -ffp-contract=off)

add_library(khonsu SHARED $<TARGET_OBJECTS:khonsu_objects>)
set(khonsu_map "${PROJECT_SOURCE_DIR}/cmake/khonsu.map")
set_target_properties(khonsu PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
  LINKER_LANGUAGE C LINK_DEPENDS "${khonsu_map}")
target_include_directories(khonsu INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(khonsu PRIVATE na_arrow ck OpenSSL::Crypto ${khonsu_rocksdb}
  Threads::Threads m)
target_link_options(khonsu PRIVATE "-Wl,--version-script=${khonsu_map}")
if(NOT KHONSU_SANITIZE)
  target_link_options(khonsu PRIVATE -Wl,--no-undefined)
endif()

add_library(khonsu_internal STATIC $<TARGET_OBJECTS:khonsu_objects>)
set_target_properties(khonsu_internal PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(khonsu_internal PUBLIC khonsu_objects na_arrow ck OpenSSL::Crypto
  ${khonsu_rocksdb} Threads::Threads m)

include(cmake/static.cmake)

file(GLOB program_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/cli/*.c")
if(program_sources)
  add_executable(khonsu_program ${program_sources})
  set_target_properties(khonsu_program PROPERTIES OUTPUT_NAME khonsu
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  target_link_libraries(khonsu_program PRIVATE khonsu khonsu_flags)
endif()

# The history driver shares the option parser of bin/khonsu.
file(GLOB workload_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/workload/*.c")
if(workload_sources)
  foreach(stem IN ITEMS heap options text)
    list(APPEND workload_sources "${PROJECT_SOURCE_DIR}/src/cli/${stem}.c")
  endforeach()
  add_executable(khonsu_workload_program ${workload_sources})
  set_target_properties(khonsu_workload_program PROPERTIES OUTPUT_NAME khonsu-workload
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  target_include_directories(khonsu_workload_program PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(khonsu_workload_program PRIVATE khonsu khonsu_flags)
endif()
