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

# gcc's address + undefined sanitizers, or libFuzzer's with the same checks. Nothing goes on after a
# finding: a report that doesn't stop the program is a report nobody reads.
if(KVROUTE_SANITIZE OR KVROUTE_FUZZ)
    set(kvr_sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(kvr_flags INTERFACE ${kvr_sanitize})
    target_link_options(kvr_flags INTERFACE ${kvr_sanitize})
endif()
# What gcc guesses from the flow of values it guesses wrongly in instrumented code.
if(KVROUTE_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL GNU)
    target_compile_options(kvr_flags INTERFACE -Wno-format-truncation -Wno-maybe-uninitialized)
endif()
if(KVROUTE_FUZZ)
    target_compile_options(kvr_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
