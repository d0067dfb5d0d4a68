//! Running other programs: argument lists, never shell strings.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{errno::Errno, unistd::setsid};

use super::{cache::create_folder, config::Config, error::LabError, packages};

/// How many of a log's last lines an error shows.
const TAIL_LINES: usize = 20;

/// A program and its arguments.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Starts hoist itself with a hidden verb of `lab`; it outlives this process if it calls [`detach`]. What it prints
/// goes to `log`.
pub(crate) fn start_hoist(config: &Config, arguments: &[&str], log: &Path) -> Result<Child, LabError> {
    start_log(log)?;
    let open = || File::options().append(true).open(log).map_err(LabError::io("open", log));
    Command::new(&config.program)
        .env("HOIST_CACHE", config.cache.root())
        .args(["lab", "--lab", &config.name])
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .spawn()
        .map_err(LabError::io("run", &config.program))
}

/// Puts this process into a session of its own, which no terminal ends.
pub(crate) fn detach() -> Result<(), LabError> {
    match setsid() {
        // A process that leads a group already cannot lead a session; then it is nobody's job but its own.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(LabError::io("detach", "the terminal")(error.into())),
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`LabError::Command`] with its standard error when it cannot be started or does not succeed.
pub(crate) fn output(mut command: Command) -> Result<String, LabError> {
    let shown = describe(&command);
    let failed = |cause: String| LabError::Command { command: shown.clone(), cause };
    let output = command
        .env("PATH", packages::path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, stderr.trim())))
}

/// Runs a program to its end; what it prints goes to the end of `log`, and line by line to `on_line`.
/// The error is the reason in words, for whoever knows which step this was.
pub(crate) fn logged(mut command: Command, log: &Path, mut on_line: impl FnMut(&str)) -> Result<(), String> {
    let shown = describe(&command);
    let run = || -> io::Result<std::process::ExitStatus> {
        let mut log = File::options().create(true).append(true).open(log)?;
        writeln!(log, "# {shown}")?;
        let (reader, writer) = io::pipe()?;
        command.env("PATH", packages::path()).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn()?;
        // The command holds our copies of the pipe's writing end; without this the pipe never ends.
        drop(command);
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            log.write_all(&line)?;
            let text = String::from_utf8_lossy(&line);
            // Programs that draw progress bars return the carriage; the last stretch is what shows.
            if let Some(last) = text.trim_end().rsplit('\r').next().filter(|last| !last.trim().is_empty()) {
                on_line(last.trim());
            }
            line.clear();
        }
        child.wait()
    };
    match run() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}`: {error}")),
    }
}

/// Starts a log anew, so that it holds one run.
pub(crate) fn start_log(log: &Path) -> Result<(), LabError> {
    if let Some(folder) = log.parent() {
        create_folder(folder)?;
    }
    File::create(log).map(drop).map_err(LabError::io("create", log))
}

/// The last lines of a log; empty when there is none.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = console::strip_ansi_codes(&String::from_utf8_lossy(&bytes)).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// The command as a person would type it, cut short where it is long.
fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_returned_and_failure_is_explained() {
        assert_eq!(output(sh("echo one")).unwrap(), "one\n");
        let error = output(sh("echo broken >&2; exit 3")).unwrap_err().to_string();
        assert!(error.contains("exit status: 3: broken"), "{error}");
        assert!(output(Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn both_streams_reach_the_log_and_the_progress() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("step.log");
        start_log(&log).unwrap();
        let mut seen = Vec::new();
        logged(sh("echo one; printf 'a\\rb\\n' >&2; echo"), &log, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!(seen, ["one", "b"]);
        let error = logged(sh("echo why; exit 1"), &log, |_| ()).unwrap_err();
        assert!(error.contains("exit status: 1"), "{error}");
        assert!(tail(&log).ends_with("why"), "{}", tail(&log));
    }

    #[test]
    fn the_tail_is_short() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, (0..100).map(|n| format!("line {n}\n\n")).collect::<String>()).unwrap();
        assert_eq!(tail(&log).lines().count(), TAIL_LINES);
        assert!(tail(&log).ends_with("line 99"));
        assert_eq!(tail(&folder.path().join("none")), "");
    }
}
