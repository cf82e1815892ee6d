# SPDX-License-Identifier: Apache-2.0
# Manual page and completion of a program, made of its own --help. Programs that can't run here, or run under
# sanitizers, have none.
function(kvr_manual program component)
    if(CMAKE_CROSSCOMPILING OR KVROUTE_SANITIZE OR KVROUTE_FUZZ)
        return()
    endif()
    set(from ${PROJECT_SOURCE_DIR}/cmake/system)
    set(to ${PROJECT_BINARY_DIR}/client/manual)
    set(help ${to}/${program}.help)
    file(MAKE_DIRECTORY ${to})
    add_custom_command(OUTPUT ${to}/${program}.1.gz ${to}/${program}
        COMMAND ${program} --help > ${help}
        COMMAND awk -v name=${program} -v version=${PROJECT_VERSION} -v notes=${from}/${program}.notes
            -f ${from}/man.awk ${help} > ${to}/${program}.1
        COMMAND gzip -9nf ${to}/${program}.1
        COMMAND awk -v name=${program} -f ${from}/completion.awk ${help} > ${to}/${program}
        DEPENDS ${program} ${from}/man.awk ${from}/completion.awk ${from}/${program}.notes VERBATIM)
    add_custom_target(${program}-manual ALL DEPENDS ${to}/${program}.1.gz)
    install(FILES ${to}/${program}.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT ${component})
    install(FILES ${to}/${program} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        COMPONENT ${component})
endfunction()
