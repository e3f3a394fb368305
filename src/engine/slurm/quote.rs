//! Text that a shell, or Slurm, takes as it is.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// `text` as one word of a shell, whatever it holds.
#[must_use]
pub fn shell(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref().to_string_lossy();
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b));
    if plain {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path for `--output`, in which Slurm replaces `%` patterns and takes `\` for an escape.
#[must_use]
pub fn pattern(path: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'%' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const NASTY: [&str; 8] = [
        "plain/path-1.toml",
        "two words",
        "it's",
        "\"$HOME\" `id` $(id)",
        "a;b&c|d>e<f*g?h[i]~!#",
        "line\nbreak\tand \\ backslash",
        "",
        "-n ümlaut",
    ];

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in NASTY {
            let script = format!("printf %s {}", shell(text));
            let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn patterns_are_escaped() {
        let escaped = pattern(Path::new(r"/a/100 %j/b\c"));
        assert_eq!(escaped, Path::new(r"/a/100 \%j/b\\c"));
    }
}
