# Programs of the documents, built against the shared library and compared with what they print.
if(KHONSU_SANITIZE MATCHES "thread") # one thread
  return()
endif()
file(GLOB example_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*.c")
foreach(source IN LISTS example_sources)
  get_filename_component(stem "${source}" NAME_WE)
  add_executable(example_${stem} "${source}")
  target_link_libraries(example_${stem} PRIVATE khonsu khonsu_flags)
  add_test(NAME example_${stem} COMMAND "${CMAKE_COMMAND}" -DPROGRAM=$<TARGET_FILE:example_${stem}>
    "-DEXPECTED=${PROJECT_SOURCE_DIR}/examples/${stem}.out"
    -P "${PROJECT_SOURCE_DIR}/cmake/compare_output.cmake")
  set_tests_properties(example_${stem} PROPERTIES LABELS integration
    ENVIRONMENT "${test_environment}")
endforeach()
