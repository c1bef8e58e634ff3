//! What steps see: variables, home, shell.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use api::Secret;
use api::runner::task::Task;

/// The `PATH` of an image that sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables by name.
pub(crate) type Variables = BTreeMap<OsString, OsString>;

/// The variables of a `run` step. From the weakest to the strongest: the image's, the runner's, secrets, the
/// job's, the step's. `PATH` always ends in the folder of the `circleci` helper.
pub(crate) fn of_step(
    base: &Variables,
    secrets: &BTreeMap<String, Secret>,
    job: &BTreeMap<String, String>,
    step: &BTreeMap<String, String>,
    helpers: &Path,
) -> Variables {
    let mut variables = base.clone();
    for (name, value) in secrets {
        variables.insert(name.into(), value.expose().into());
    }
    for (name, value) in job.iter().chain(step) {
        variables.insert(name.into(), value.into());
    }
    let path = variables.remove(OsStr::new("PATH"));
    variables.insert("PATH".into(), with_folder(path, helpers));
    variables
}

/// The variables that every process of the task starts from: the image's, and what says that this is CI.
pub(crate) fn base(image: &[(OsString, OsString)], task: &Task, home: &Path, folder: &Path) -> Variables {
    let mut variables: Variables = image.iter().cloned().collect();
    let mut set = |name: &str, value: &OsStr| variables.insert(name.into(), value.to_owned());
    set("HOME", home.as_os_str());
    for name in ["CI", "CIRCLECI", "GOATHERD"] {
        set(name, OsStr::new("true"));
    }
    set("CIRCLE_JOB", OsStr::new(&task.job));
    set("CIRCLE_SHA1", OsStr::new(&task.source.commit));
    set("CIRCLE_WORKING_DIRECTORY", folder.as_os_str());
    let reference = task.source.reference.as_str();
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        set("CIRCLE_BRANCH", OsStr::new(branch));
    } else if let Some(tag) = reference.strip_prefix("refs/tags/") {
        set("CIRCLE_TAG", OsStr::new(tag));
    }
    variables
}

fn with_folder(path: Option<OsString>, folder: &Path) -> OsString {
    let path = path
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| DEFAULT_PATH.into());
    if std::env::split_paths(&path).any(|known| known == folder) {
        return path;
    }
    let mut path = path;
    path.push(":");
    path.push(folder);
    path
}

/// The home: what the environment says, else what the user database says, else `/`.
pub(crate) fn home(image: &[(OsString, OsString)], uid: u32, users: &str) -> PathBuf {
    let told = image
        .iter()
        .find(|(name, _)| name == "HOME")
        .map(|(_, value)| PathBuf::from(value));
    let listed = || {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.get(2)?.parse() == Ok(uid)).then(|| PathBuf::from(fields.get(5).copied().unwrap_or("")))
        })
    };
    told.filter(|home| home.is_absolute())
        .or_else(|| listed().filter(|home| home.is_absolute()))
        .unwrap_or_else(|| PathBuf::from("/"))
}

/// `path`, where `~` is the home, and what is relative lies under `folder`.
pub(crate) fn resolve(path: &str, home: &Path, folder: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => folder.join(path),
    }
}

/// The words of a shell's command line: quotes and backslashes as in a shell, nothing else.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The shell of a step: its own, else the job's, else bash with `-eo pipefail` where the image has it, else
/// sh. None where there is no shell at all.
pub(crate) fn shell(
    step: Option<&str>,
    job: Option<&str>,
    is_there: impl Fn(&Path) -> bool,
) -> Option<Vec<String>> {
    let chosen = [step, job].into_iter().flatten().map(words);
    let built_in = [("/bin/bash", "/bin/bash -eo pipefail"), ("/bin/sh", "/bin/sh -e")]
        .into_iter()
        .filter(|(program, _)| is_there(Path::new(program)))
        .map(|(_, line)| words(line));
    chosen.chain(built_in).find(|words| !words.is_empty())
}

/// Whether there is a program at this path.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_step_outweighs_the_job_and_the_job_a_secret() {
        let base = Variables::from([("A".into(), "image".into()), ("PATH".into(), "/bin".into())]);
        let secrets = ["A", "B", "C", "D"]
            .map(|name| (name.to_owned(), Secret::new("secret")))
            .into();
        let job = strings(&[("B", "job"), ("C", "job")]);
        let step = strings(&[("C", "step")]);

        let found = of_step(&base, &secrets, &job, &step, Path::new("/opt/x"));

        let of = |name: &str| found.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(of("A"), Some("secret"));
        assert_eq!(of("B"), Some("job"));
        assert_eq!(of("C"), Some("step"));
        assert_eq!(of("D"), Some("secret"));
        assert_eq!(of("PATH"), Some("/bin:/opt/x"));
    }

    #[test]
    fn the_helpers_folder_is_on_the_path_once() {
        let folder = Path::new("/opt/x");

        assert_eq!(with_folder(Some("/opt/x:/bin".into()), folder), "/opt/x:/bin");
        assert_eq!(with_folder(Some("/bin".into()), folder), "/bin:/opt/x");
        assert_eq!(
            with_folder(None, folder).to_string_lossy(),
            format!("{DEFAULT_PATH}:/opt/x")
        );
    }

    #[test]
    fn where_home_is() {
        let users = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nbroken\n";
        let told = [(OsString::from("HOME"), OsString::from("/data"))];
        let empty = [(OsString::from("HOME"), OsString::new())];

        assert_eq!(home(&told, 1000, users), Path::new("/data"));
        assert_eq!(home(&empty, 1000, users), Path::new("/home/ada"));
        assert_eq!(home(&[], 7, users), Path::new("/"));
    }

    #[test]
    fn where_a_path_leads() {
        let (home, folder) = (Path::new("/home/ada"), Path::new("/home/ada/project"));
        for (path, expected) in [
            ("~", "/home/ada"),
            ("~/project", "/home/ada/project"),
            ("~bob/x", "/home/ada/project/~bob/x"),
            ("sub", "/home/ada/project/sub"),
            ("/abs", "/abs"),
        ] {
            assert_eq!(resolve(path, home, folder), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn which_shell_runs_a_step() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (all, no_bash, none) = (
            |_: &Path| true,
            |path: &Path| path == Path::new("/bin/sh"),
            |_: &Path| false,
        );

        assert_eq!(shell(Some("python3"), Some("zsh"), all), Some(words("python3")));
        assert_eq!(shell(None, Some("zsh -e"), all), Some(words("zsh -e")));
        assert_eq!(shell(Some(" "), None, all), Some(words("/bin/bash -eo pipefail")));
        assert_eq!(shell(None, None, no_bash), Some(words("/bin/sh -e")));
        assert_eq!(shell(None, None, none), None);
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words(r#"a 'b c' "d \" e" f\ g '' "#),
            ["a", "b c", "d \" e", "f g", ""]
        );
    }
}
