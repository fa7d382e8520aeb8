# Programs of the documents, built against the shared library and compared with what they print.
if(KHONSU_SANITIZE MATCHES "thread") # one thread
  return()
endif()
find_package(SQLite3 QUIET)
file(GLOB example_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*.c")
if(NOT SQLite3_FOUND)
  list(FILTER example_sources EXCLUDE REGEX "/sqlite_[a-z]+\\.c$")
endif()
foreach(source IN LISTS example_sources)
  get_filename_component(stem "${source}" NAME_WE)
  add_executable(example_${stem} "${source}")
  target_link_libraries(example_${stem} PRIVATE khonsu khonsu_flags)
  if(stem MATCHES "^sqlite_")
    target_link_libraries(example_${stem} PRIVATE SQLite::SQLite3)
  endif()
  add_test(NAME example_${stem} COMMAND "${CMAKE_COMMAND}" -DPROGRAM=$<TARGET_FILE:example_${stem}>
    "-DEXPECTED=${PROJECT_SOURCE_DIR}/examples/${stem}.out"
    -P "${PROJECT_SOURCE_DIR}/cmake/compare_output.cmake")
  set_tests_properties(example_${stem} PROPERTIES LABELS integration
    ENVIRONMENT "${test_environment}")
endforeach()
