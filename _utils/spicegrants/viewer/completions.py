"""Completion of the launcher's command line in shells: its options, and the consoles that it lists.

Names are taken as they are: no shell reads them a second time.
"""

from __future__ import annotations

BASH = """\
# Completion of rviewer in bash.

_rviewer() {
    local current=${COMP_WORDS[COMP_CWORD]} name
    COMPREPLY=()
    ((COMP_CWORD == 1)) || return 0
    if [[ $current == -* ]]; then
        for name in --help --list; do
            [[ $name == "$current"* ]] && COMPREPLY+=("$name")
        done
    else
        while IFS=$'\\t' read -r name _; do
            [[ $name == "$current"* ]] && COMPREPLY+=("$name")
        done < <(rviewer --list 2>/dev/null)
    fi
    return 0
}
complete -F _rviewer rviewer
"""
ZSH = """\
#compdef rviewer
# Completion of rviewer in zsh.

local -a lines names
if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then
        compadd -- --help --list
    else
        lines=("${(@f)$(rviewer --list 2>/dev/null)}")
        names=("${(@)lines%%$'\\t'*}")
        lines=("${(@)lines//$'\\t'/  }")
        compadd -l -d lines -a -- names
    fi
fi
"""
# It takes what stands behind the tab for a description.
FISH = """\
# Completion of rviewer in fish.

complete --command rviewer --no-files
complete --command rviewer --condition __fish_is_first_arg --arguments '(rviewer --list 2>/dev/null)'
complete --command rviewer --condition __fish_is_first_arg --long-option help --description 'Say what there is to know'
complete --command rviewer --condition __fish_is_first_arg --long-option list --description 'List the consoles'
"""
