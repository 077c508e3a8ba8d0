//! What bash runs at a tab.
//!
//! bash cuts words at `:`, `@`, `=` and `>` (`COMP_WORDBREAKS`), and so cuts addresses, `latest:GUEST`
//! and `TYPE@SYMBOL` apart. The script joins what no blank divides, and takes off again of each
//! answer what bash takes for earlier words.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::env::{self, EnvCompleter};

/// bash.
pub(super) struct Bash;

const SCRIPT: &str = r#"_vmcorectl() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word rest i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$rest
        if ((i == 0)) || [[ $rest != "$line" || -z $line ]]; then
            words+=("$word")
        else
            words[-1]+=$word
        fi
        line=${rest#"$word"}
    done
    local before=${words[-1]%"$2"}
    mapfile -t COMPREPLY < <(
        VMCORECTL_COMPLETE=bash _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) \
            vmcorectl -- "${words[@]}" 2> /dev/null
    )
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${COMPREPLY[0]-} != *[=/:.] ]] || compopt -o nospace
}
complete -o bashdefault -o nosort -F _vmcorectl vmcorectl
"#;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        env::Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        env::Bash.is(name)
    }

    fn write_registration(
        &self,
        _variable: &str,
        _name: &str,
        _program: &str,
        _completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        out.write_all(SCRIPT.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        env::Bash.write_complete(command, words, folder, out)
    }
}
