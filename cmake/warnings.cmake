# SPDX-License-Identifier: Apache-2.0
# One set of warnings, and they are errors, for gcc and clang alike.
add_library(kvr_warnings INTERFACE)
target_compile_options(kvr_warnings INTERFACE
    -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla)
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
