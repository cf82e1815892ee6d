# SPDX-License-Identifier: Apache-2.0
# One set of warnings, and they are errors, for gcc and clang alike.
add_library(kvr_warnings INTERFACE)
target_compile_options(kvr_warnings INTERFACE
    -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla)
# What gcc 13 guesses of xxHash where it is inlined for lengths that are known only when it runs: it takes the branches
# for all other lengths to be possible. gcc 12 and clang look at the same code and say nothing.
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_C_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    target_compile_options(kvr_warnings INTERFACE
        -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overread)
endif()
if(KVROUTE_WERROR)
    target_compile_options(kvr_warnings INTERFACE -Werror)
endif()
add_library(kvr_flags INTERFACE)
target_link_libraries(kvr_flags INTERFACE kvr_warnings)

# Address + undefined sanitizers, for libFuzzer, too. Nothing goes on after a finding: a report that doesn't stop the
# program is a report nobody reads. clang's look for more than gcc's.
if(KVROUTE_SANITIZE OR KVROUTE_FUZZ)
    set(kvr_sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(kvr_flags INTERFACE ${kvr_sanitize})
    target_link_options(kvr_flags INTERFACE ${kvr_sanitize})
endif()
# Programs and the module share one runtime, as they do with gcc: the module has none of its own in a server, which has
# it in front (server.cmake). gcc's is beside the system's libraries, clang's isn't.
if(KVROUTE_SANITIZE)
    set(runtime libasan.so)
    if(CMAKE_C_COMPILER_ID STREQUAL Clang)
        set(runtime libclang_rt.asan-${CMAKE_SYSTEM_PROCESSOR}.so)
    endif()
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=${runtime}
        OUTPUT_VARIABLE LIBASAN OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(CMAKE_C_COMPILER_ID STREQUAL Clang)
        cmake_path(GET LIBASAN PARENT_PATH runtimes)
        target_link_options(kvr_flags INTERFACE -shared-libasan LINKER:-rpath,${runtimes})
    endif()
endif()
# What gcc guesses from the flow of values it guesses wrongly in instrumented code.
if(KVROUTE_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL GNU)
    target_compile_options(kvr_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized)
endif()
if(KVROUTE_FUZZ)
    target_compile_options(kvr_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
