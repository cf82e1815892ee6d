# SPDX-License-Identifier: Apache-2.0
# A program's --help as its manual page:
#     kvroute-x --help | awk -v name=kvroute-x -v version=1.2.3 -v notes=FILE -f man.awk
# Lines of two blanks and a word are settings; what stands in the same column below goes on; any other
# paragraph is text. `notes` has the sections that --help doesn't, and follows.
function quoted(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    sub(/^[.']/, "\\\\\\&&", s)
    return s
}
# "word VALUE …  what it does". Where VALUE fills the column, one blank parts the two.
function setting(line, words, said, meant) {
    sub(/^  /, "", line)
    if (match(line, /  +/)) {
        said = substr(line, 1, RSTART - 1)
        meant = substr(line, RSTART + RLENGTH)
    } else {
        split(line, words, " ")
        said = words[1] " " words[2] (words[3] == "…" ? " …" : "")
        meant = substr(line, length(said) + 2)
    }
    word = said
    sub(/ .*/, "", word)
    rest = substr(said, length(word) + 1)
    print ".TP"
    print ".BR " quoted(word) (rest == "" ? "" : " \" " quoted(substr(rest, 2)) "\"")
    if (meant != "") print quoted(meant)
}
NR == 1 { synopsis = 1 }
synopsis && /^$/ { synopsis = 0; next }
synopsis {
    sub(/^usage: /, "")
    gsub(/^ +/, "")
    usage = usage (usage == "" ? "" : NR > 1 && index($0, name) == 1 ? "\n.br\n" : "\n") quoted($0)
    next
}
summary == "" {
    summary = $0
    short = summary
    sub(/:.*/, "", short)
    sub(/\.$/, "", short)
    print ".TH " toupper(name) " 1 \"\" \"kvroute " version "\" \"User Commands\""
    print ".SH NAME\n" quoted(name) " \\- " tolower(substr(short, 1, 1)) quoted(substr(short, 2))
    print ".SH SYNOPSIS\n" usage
    print ".SH DESCRIPTION\n" quoted(summary)
    print ".PP\nA setting is a word of the file that"
    print ".B \\-\\-config"
    print "names, as WORD = VALUE in its section, or a flag \\-\\-WORD VALUE;"
    print "flags go before the file.\n.B \\-\\-help\nprints these settings,\n.B \\-\\-version\nthe version."
    print ".SH SETTINGS"
    next
}
/^$/ { gap = 1; next }
/^  [a-z_]+/ { if (gap) print ".PP"; gap = 0; setting($0); next }
/^   / { gsub(/^ +/, ""); print quoted($0); next }
{
    if (gap) print ".SS " quoted($0)
    else print quoted($0)
    gap = 0
}
END {
    while ((getline line <notes) > 0)
        if (line !~ /^\.\\"/) print line
}
