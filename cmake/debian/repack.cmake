# SPDX-License-Identifier: Apache-2.0
# Packages as CPack leaves them, packed once more by dpkg-deb: all files of one time (SOURCE_DATE_EPOCH), which makes
# them the same bytes whenever they are built, and what CPack can't say or says too much of.
foreach(deb IN LISTS CPACK_PACKAGE_FILES)
    set(tree ${CPACK_TEMPORARY_DIRECTORY}/repack)
    file(REMOVE_RECURSE ${tree})
    execute_process(COMMAND dpkg-deb -R ${deb} ${tree} COMMAND_ERROR_IS_FATAL ANY)
    if(deb MATCHES "/libkvroute[^/]*$")
        # The trigger does it.
        file(REMOVE ${tree}/DEBIAN/postinst ${tree}/DEBIAN/postrm)
        file(APPEND ${tree}/DEBIAN/control "Multi-Arch: same\n")
    endif()
    file(READ ${tree}/DEBIAN/control control)
    string(REGEX REPLACE "\n\n+" "\n" control "${control}")
    file(WRITE ${tree}/DEBIAN/control "${control}")
    execute_process(COMMAND find ${tree} -exec touch -h -d @$ENV{SOURCE_DATE_EPOCH} {} + COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND dpkg-deb -Zxz --root-owner-group --build ${tree} ${deb}
        OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
    file(REMOVE_RECURSE ${tree})
endforeach()
