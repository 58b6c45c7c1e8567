"""``shoal completion``: scripts for shells, which ask ``shoal __complete`` for the words."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.errors import InvalidArgument

BASH = r"""
_shoal() {
    local cur words
    words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    mapfile -t COMPREPLY < <(shoal __complete "${words[@]}" 2>/dev/null | cut -f1)
    compopt +o nospace 2>/dev/null
    [ ${#COMPREPLY[@]} -eq 0 ] && compopt -o default 2>/dev/null
}
complete -F _shoal shoal
""".strip()
ZSH = r"""
#compdef shoal
_shoal() {
    local -a lines
    lines=("${(@f)$(shoal __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if [[ -z "${lines[*]}" ]]; then _files; return; fi
    local -a described
    local line
    for line in "${lines[@]}"; do
        described+=("${line%%$'\t'*}:${${line#*$'\t'}%%$line}")
    done
    _describe 'shoal' described
}
compdef _shoal shoal
""".strip()
FISH = r"""
function __shoal_complete
    set -l words (commandline -opc) (commandline -ct)
    shoal __complete $words[2..-1] 2>/dev/null
end
complete -c shoal -a '(__shoal_complete)'
""".strip()
SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


def run_completion(ctx: Context, args: Arguments) -> int:
    """Print a shell's script."""
    shell = args.words[0]
    if shell not in SCRIPTS:
        raise InvalidArgument(f"no completion for {shell}: must be one of {', '.join(SCRIPTS)}")
    ctx.out(SCRIPTS[shell])
    return 0


COMMANDS = (
    Command(
        "completion",
        "Print the completion script of a shell",
        run_completion,
        "bash|zsh|fish",
        1,
        1,
        examples=("completion bash > /etc/bash_completion.d/shoal", "completion fish | source"),
    ),
)
