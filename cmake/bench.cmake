# Benchmarks that look into one room, built on request:
#     cmake --build build/release --target benches
# What a user sees, beside other engines, is bench/CMakeLists.txt: a project of its own.

add_custom_target(benches)
file(GLOB bench_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.c")
foreach(source IN LISTS bench_sources)
  get_filename_component(stem "${source}" NAME_WE)
  add_executable(${stem} EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(${stem} PRIVATE khonsu_flags khonsu_internal)
  add_dependencies(benches ${stem})
endforeach()
