# RocksDB, for durable databases. KHONSU_DURABLE=OFF leaves out every file that needs it.
#
# Gives the target rocksdb. KHONSU_ROCKSDB names a prefix (with include/ and lib/) of another
# RocksDB than the system's: Debian's 7.8 is compiled with its debugging hooks and costs about twice
# the instructions of a release build.
option(KHONSU_DURABLE "durable databases, on RocksDB" ON)
set(KHONSU_ROCKSDB "" CACHE PATH "prefix of a RocksDB in place of the system's")

if(KHONSU_DURABLE)
  if(KHONSU_ROCKSDB)
    set(rocksdb_where PATHS "${KHONSU_ROCKSDB}" NO_DEFAULT_PATH)
  endif()
  find_path(ROCKSDB_INCLUDE rocksdb/c.h ${rocksdb_where} PATH_SUFFIXES include REQUIRED)
  find_library(ROCKSDB_LIBRARY rocksdb ${rocksdb_where} PATH_SUFFIXES lib REQUIRED)
  add_library(rocksdb UNKNOWN IMPORTED)
  set_target_properties(rocksdb PROPERTIES IMPORTED_LOCATION "${ROCKSDB_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${ROCKSDB_INCLUDE}")
endif()
