# Benchmarks: programs that measure, built on request: cmake --build build/release --target benches.
# txn_bench sees what a user sees (the shared library and khonsu.h); the others look into one room.

add_custom_target(benches)
file(GLOB bench_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.c")
foreach(source IN LISTS bench_sources)
  get_filename_component(stem "${source}" NAME_WE)
  add_executable(${stem} EXCLUDE_FROM_ALL "${source}")
  if(stem STREQUAL "txn_bench")
    target_link_libraries(${stem} PRIVATE khonsu_flags khonsu)
  else()
    target_link_libraries(${stem} PRIVATE khonsu_flags khonsu_internal)
  endif()
  add_dependencies(benches ${stem})
endforeach()
