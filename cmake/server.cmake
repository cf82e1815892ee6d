# SPDX-License-Identifier: Apache-2.0
# What starts programs learns here where they are; the environment variables of the same names go
# before.
find_program(REDIS_SERVER redis-server PATHS /usr/sbin /usr/local/bin)
set(kvr_server "${REDIS_SERVER}")
if(KVROUTE_SANITIZE AND REDIS_SERVER)
    set(kvr_server ${PROJECT_BINARY_DIR}/redis-server-asan)
    configure_file(cmake/redis-server-asan.in ${kvr_server} @ONLY
        FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ WORLD_READ)
endif()
function(kvr_knows_server target)
    kvr_knows(${target} KVROUTE_MODULE kvroute)
    target_compile_definitions(${target} PRIVATE REDIS_SERVER="${kvr_server}")
endfunction()

# Gives `target` the path of each program's file, and has it built before: KVROUTE_MOCK kvroute-mock-engine …
function(kvr_knows target)
    set(words ${ARGN})
    while(words)
        list(POP_FRONT words macro program)
        target_compile_definitions(${target} PRIVATE ${macro}="$<TARGET_FILE:${program}>")
        add_dependencies(${target} ${program})
    endwhile()
endfunction()
