# SPDX-License-Identifier: Apache-2.0
# Debian packages, one of each install component, by CPack. Only with KVROUTE_PACKAGES, in a build whose prefix is
# /usr: `./dev packages` makes that. What goes into them besides programs, library and module is in system/, what
# dpkg runs in debian/.
set(kvr_system ${CMAKE_CURRENT_LIST_DIR}/system)
set(kvr_debian ${CMAKE_CURRENT_LIST_DIR}/debian)
set(kvr_made ${PROJECT_BINARY_DIR}/debian)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME kvroute)
set(CPACK_PACKAGE_CONTACT "kvroute maintainers <maintainers@kvroute.example>" CACHE STRING
    "Whom the packages name as their maintainer")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL module router bridge library development)
if(TARGET kvroute-top)
    list(APPEND CPACK_COMPONENTS_ALL top)
endif()
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE kvroute)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_POST_BUILD_SCRIPTS ${kvr_debian}/repack.cmake)

# Of one version the packages of a newer system are newer, so that an upgrade of the system takes these.
# The names of Debian 12, Ubuntu 24.04 and Debian 13 happen to be in that order.
set(kvr_codename unstable)
if(EXISTS /etc/os-release)
    file(STRINGS /etc/os-release kvr_line REGEX "^VERSION_CODENAME=")
    string(REGEX REPLACE "VERSION_CODENAME=\"?([a-z]*).*" "\\1" kvr_codename "${kvr_line}")
endif()
set(CPACK_DEBIAN_PACKAGE_RELEASE 1~${kvr_codename})
set(kvr_debian_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
string(TIMESTAMP kvr_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # that of SOURCE_DATE_EPOCH, if it is set

# ---- What every package has ----------------------------------------------------------------------

configure_file(${kvr_debian}/changelog.in ${kvr_made}/changelog.Debian @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/docs/CHANGELOG.md ${kvr_made}/changelog COPYONLY)
foreach(kvr_file changelog changelog.Debian)
    execute_process(COMMAND gzip -9nf ${kvr_made}/${kvr_file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# Declares the package of a component: its name, section, dependencies that aren't libraries, and pages of docs/.
function(kvr_package component package section depends summary text)
    string(TOUPPER ${component} upper)
    install(FILES ${kvr_debian}/copyright ${kvr_made}/changelog.gz ${kvr_made}/changelog.Debian.gz
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
    foreach(page IN LISTS ARGN)
        install(FILES ${PROJECT_SOURCE_DIR}/docs/${page}.md
            DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
    endforeach()
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package} PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${text}" PARENT_SCOPE)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ON PARENT_SCOPE)
endfunction()

set(kvr_what "kvroute chooses, for each request, the inference engine that has\nmost of its prompt cached and isn't busy.")
set(kvr_sysusers "systemd | systemd-standalone-sysusers | systemd-sysusers")
set(kvr_dev_needs "libkvroute1 (= ${kvr_debian_version}), libhiredis-dev, libxxhash-dev")
if(HIREDIS_SSL_FOUND)
    string(APPEND kvr_dev_needs ", libssl-dev")
endif()
kvr_package(module kvroute-module database "redis-server (>= 5:7.0) | valkey-server"
    "KV-cache-aware routing of inference requests: module of Redis"
    "${kvr_what}\nThis is the module for Redis 7.0 or later, or Valkey, in which\na pool of engines is one key."
    commands choosing operate)
kvr_package(router kvroute-router net "${kvr_sysusers}"
    "KV-cache-aware routing of inference requests: HTTP router"
    "${kvr_what}\nThis is the router: a proxy with OpenAI's API, or advice for other\nfrontends. It needs a Redis with kvroute-module, here or elsewhere."
    router admission operate)
kvr_package(bridge kvroute-bridge net "${kvr_sysusers}"
    "KV-cache-aware routing of inference requests: engines' events"
    "${kvr_what}\nThis is the bridge, which stands beside engines such as vLLM or\nSGLang and tells a pool what they cache."
    bridge engines)
if(TARGET kvroute-top)
    kvr_package(top kvroute-top net ""
        "KV-cache-aware routing of inference requests: terminal view"
        "${kvr_what}\nThis shows pools, their workers and their queue in a terminal.")
endif()
kvr_package(library libkvroute1 libs ""
    "KV-cache-aware routing of inference requests: C library"
    "${kvr_what}\nThis is the client library for C, which goes on through failovers\nof Redis.")
kvr_package(development libkvroute-dev libdevel "${kvr_dev_needs}"
    "KV-cache-aware routing of inference requests: development files"
    "${kvr_what}\nThese are the headers and what else it takes to build programs\nwith libkvroute."
    client)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS libevent-dev)
set(CPACK_DEBIAN_ROUTER_PACKAGE_SUGGESTS kvroute-module)
set(CPACK_DEBIAN_BRIDGE_PACKAGE_SUGGESTS kvroute-module)
# Whom engines over TLS are believed by.
set(CPACK_DEBIAN_ROUTER_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_BRIDGE_PACKAGE_RECOMMENDS ca-certificates)

# ---- Library -------------------------------------------------------------------------------------

file(WRITE ${kvr_made}/library/shlibs "libkvroute 1 libkvroute1 (>= ${PROJECT_VERSION})\n")
file(WRITE ${kvr_made}/library/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${kvr_made}/library/shlibs ${kvr_made}/library/triggers)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/client/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libkvroute-dev
    COMPONENT development FILES_MATCHING PATTERN "*.c" PATTERN "*.md")
# CPack strips programs and shared libraries, not archives.
install(CODE "execute_process(COMMAND ${CMAKE_STRIP} --strip-debug -R .comment --enable-deterministic-archives
    \$ENV{DESTDIR}${CMAKE_INSTALL_FULL_LIBDIR}/libkvroute.a COMMAND_ERROR_IS_FATAL ANY)" COMPONENT development)

# ---- Services ------------------------------------------------------------------------------------

# Settings, user, units and what dpkg runs, of the program kvroute-${component}; further arguments: its units.
# The rest is set by the caller: kvr_enabled, kvr_why.
function(kvr_service component)
    string(TOUPPER ${component} upper)
    set(kvr_package kvroute-${component})
    set(kvr_settings ${component}.conf)
    list(JOIN ARGN " " kvr_units)
    set(made ${kvr_made}/${component})
    file(STRINGS ${kvr_system}/hardening.conf lines REGEX "^[A-Z]")
    list(JOIN lines "\n" kvr_hardening)
    set(units)
    foreach(unit IN LISTS ARGN)
        if(EXISTS ${kvr_system}/${unit}.in)
            configure_file(${kvr_system}/${unit}.in ${made}/${unit} @ONLY)
        else()
            configure_file(${kvr_system}/${unit} ${made}/${unit} COPYONLY)
        endif()
        list(APPEND units ${made}/${unit})
    endforeach()
    install(FILES ${units} DESTINATION lib/systemd/system COMPONENT ${component})
    install(FILES ${kvr_system}/sysusers.conf DESTINATION lib/sysusers.d RENAME ${kvr_package}.conf
        COMPONENT ${component})
    install(FILES ${kvr_system}/${kvr_settings} DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/kvroute
        COMPONENT ${component})
    file(WRITE ${made}/conffiles "${CMAKE_INSTALL_FULL_SYSCONFDIR}/kvroute/${kvr_settings}\n")
    set(extra ${made}/conffiles)
    foreach(script postinst prerm postrm)
        configure_file(${kvr_debian}/${script}.in ${made}/${script} @ONLY
            FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
        list(APPEND extra ${made}/${script})
    endforeach()
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA ${extra} PARENT_SCOPE)
endfunction()

set(kvr_enabled "[ \"$unit\" = \"$service\" ]") # not the socket, which is the administrator's choice
set(kvr_why "The new program takes over the sockets; streams go on in the old one.")
kvr_service(router kvroute-router.service kvroute-router.socket)
set(kvr_enabled false) # it has no engines yet, and nothing to do
set(kvr_why "The new program begins in the old one's place; a restart would drain its engines.")
kvr_service(bridge kvroute-bridge.service)

include(CPack)
