# SPDX-License-Identifier: Apache-2.0
# A program's --help as its completion for bash:
#     kvroute-x --help | awk -v name=kvroute-x -f completion.awk
# Settings of the program itself are flags; those of each pool or engine stand in the flag's quoted text. What
# follows a flag is told by what the help calls its value; where that may be left out, the next flag does.
/^Of each / { inner = 1 }
!inner && /^  [a-z_]+ / {
    flags = flags " --" $1
    if ($2 == "FILE") files = files "|--" $1
    else if ($2 == "yes|no") choices = choices "|--" $1
    else if ($2 != "[yes|no]") others = others "|--" $1
    if (/with tls_cert FILE and tls_key FILE/) {
        flags = flags " --tls_cert --tls_key"
        files = files "|--tls_cert|--tls_key"
    }
}
/^Of each pool/ { flags = flags " --pool"; others = others "|--pool" }
/^Of each engine/ { flags = flags " --engine"; others = others "|--engine" }
/^Of each place/ { flags = flags " --discover"; others = others "|--discover" }
END {
    fn = name
    gsub(/-/, "_", fn)
    print "# bash completion for " name
    print "_" fn "() {"
    print "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}"
    print "    case $prev in"
    print "    --config" files ") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;"
    if (choices != "") print "    " substr(choices, 2) ") mapfile -t COMPREPLY < <(compgen -W 'yes no' -- \"$cur\") ;;"
    print "    " substr(others, 2) ") COMPREPLY=() ;;"
    print "    *) mapfile -t COMPREPLY < <(compgen -W '--config" flags " --help --version' -- \"$cur\") ;;"
    print "    esac"
    print "}"
    print "complete -o filenames -F _" fn " " name
}
