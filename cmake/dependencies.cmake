# SPDX-License-Identifier: Apache-2.0
# What Debian's packages bring, found once for all folders.
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

function(kvr_need_redismodule)
    if(NOT EXISTS "${REDISMODULE_INCLUDE_DIR}/redismodule.h")
        message(FATAL_ERROR "redismodule.h is not in ${REDISMODULE_INCLUDE_DIR}: run ./dev setup, "
            "or give -DREDISMODULE_INCLUDE_DIR=DIR")
    endif()
endfunction()
kvr_need_redismodule()

pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET GLOBAL hiredis)
pkg_check_modules(HIREDIS_SSL IMPORTED_TARGET GLOBAL hiredis_ssl) # hiredis 1.0 and later, if built so
if(NOT HIREDIS_SSL_FOUND)
    message(NOTICE "hiredis ${HIREDIS_VERSION} has no TLS (no hiredis_ssl): library, router and bridge will "
        "refuse rediss://, sentinels:// and clusters://")
endif()
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET GLOBAL libevent)
pkg_check_modules(LIBEVENT_OPENSSL REQUIRED IMPORTED_TARGET GLOBAL libevent_openssl)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET GLOBAL openssl)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET GLOBAL libcares)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET GLOBAL libcurl)
pkg_check_modules(NCURSES IMPORTED_TARGET GLOBAL ncursesw)
if(NOT NCURSES_FOUND)
    message(NOTICE "no ncurses (libncurses-dev): kvroute-top isn't built")
endif()
pkg_check_modules(JEMALLOC IMPORTED_TARGET GLOBAL jemalloc)
if(NOT JEMALLOC_FOUND)
    message(NOTICE "no jemalloc (libjemalloc-dev): the router has the C library's allocator")
endif()
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET GLOBAL libzmq)
if(KVROUTE_TESTS)
    pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET GLOBAL criterion)
    pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET GLOBAL msgpack-c msgpack)
endif()

# For programs, whose whole memory it then has. Debian's servers are built with it, too. Sanitizers have their own.
add_library(kvr_allocator INTERFACE)
if(JEMALLOC_FOUND AND NOT KVROUTE_SANITIZE AND NOT KVROUTE_FUZZ)
    target_link_libraries(kvr_allocator INTERFACE PkgConfig::JEMALLOC)
    target_compile_definitions(kvr_allocator INTERFACE KVROUTE_JEMALLOC)
endif()

# The public headers are tried as C++, too, where there is a compiler for it.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
endif()
