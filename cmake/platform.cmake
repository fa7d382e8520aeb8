# What the library assumes of its machine, and the system libraries it is built from.

# Stored values are read back where they lie: pointers of 64 bits, Arrow's little-endian order.
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  message(FATAL_ERROR "khonsu needs a 64-bit machine")
endif()
if(NOT CMAKE_C_BYTE_ORDER STREQUAL "LITTLE_ENDIAN")
  message(FATAL_ERROR "khonsu needs a little-endian machine")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# Concurrency Kit as an archive: what it gives goes into both libraries, so that a program that
# embeds khonsu needs nothing besides. It has to be position-independent; Debian's is.
find_path(CK_INCLUDE ck_epoch.h REQUIRED)
find_library(CK_ARCHIVE libck.a REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)

add_library(ck STATIC IMPORTED)
set_target_properties(ck PROPERTIES IMPORTED_LOCATION "${CK_ARCHIVE}"
  INTERFACE_INCLUDE_DIRECTORIES "${CK_INCLUDE}")

# libcrypto stays a shared library: the system's security updates have to reach it.
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
