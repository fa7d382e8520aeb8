# libkhonsu.a: the rooms and what they use of nanoarrow, flatcc, lz4, zstd and ck, linked into one
# object whose symbols other than kh_* are then made local.

set(khonsu_static_archive "${CMAKE_BINARY_DIR}/libkhonsu.a")
set(one "${CMAKE_BINARY_DIR}/khonsu_one.o")

add_custom_command(OUTPUT "${khonsu_static_archive}"
  COMMAND "${CMAKE_LINKER}" -r -o "${one}" $<TARGET_OBJECTS:khonsu_objects>
          $<TARGET_FILE:na_arrow> $<TARGET_FILE:na_flatcc> $<TARGET_FILE:na_codecs>
          $<TARGET_FILE:ck>
  COMMAND "${CMAKE_OBJCOPY}" --wildcard "--keep-global-symbol=kh_*" "${one}"
  COMMAND "${CMAKE_COMMAND}" -E rm -f "${khonsu_static_archive}"
  COMMAND "${CMAKE_AR}" rcs "${khonsu_static_archive}" "${one}"
  DEPENDS khonsu_objects $<TARGET_OBJECTS:khonsu_objects> na_arrow na_flatcc
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(khonsu_static ALL DEPENDS "${khonsu_static_archive}")
