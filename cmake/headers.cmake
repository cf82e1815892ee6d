# SPDX-License-Identifier: Apache-2.0
# Compiles every given header alone, so that none leans on what its includer included before.
function(kvr_check_headers target)
    set(sources)
    foreach(header IN LISTS ARGN)
        file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR} ${header})
        string(MAKE_C_IDENTIFIER ${name} id)
        set(source ${PROJECT_BINARY_DIR}/headers/${id}.c)
        file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@header@\"\n" @ONLY)
        list(APPEND sources ${source})
    endforeach()
    add_library(${target} OBJECT ${sources})
    target_link_libraries(${target} PRIVATE kvr_flags)
endfunction()
