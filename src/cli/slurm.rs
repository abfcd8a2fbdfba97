//! `--slurm`: a sweep's shards as a job array, and a job behind it that merges what they have done; a search's as the
//! tasks of one job, for each waits for what the others run.
//!
//! Jobs may be requeued at any moment: finished trials stay, and merging again writes the same tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::atomic;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::shipped;
use crate::study::shell::quoted;

/// A study to be submitted.
pub struct Submission<'a> {
    /// Its name.
    pub name: &'a str,
    /// Tasks, a shard each.
    pub tasks: usize,
    /// Further options of `sbatch`.
    pub options: &'a [String],
    /// The folder of its results.
    pub folder: &'a Path,
    /// The words of the command that runs it, without a shard.
    pub words: Vec<String>,
}

/// What was submitted.
pub struct Submitted {
    /// The job array's number.
    pub array: String,
    /// The number of the job that merges.
    pub merge: String,
}

/// The words of a command that runs a study into a folder, from anywhere.
pub fn words(command: &str, study: &Path, folder: &Path, set: &[String], backend: Backend) -> Result<Vec<String>> {
    if shipped::text(study).is_some() && !study.exists() {
        let study = study.display();
        let message =
            format!("{study} comes with crosspike and is no file here; expected a file for the jobs of --slurm");
        return Err(Error::Usage(message));
    }
    let binary = std::env::current_exe().map_err(Error::io("crosspike"))?;
    let study = std::path::absolute(study).map_err(Error::io(study))?;
    let [binary, study, folder] = [&binary, &study, folder].map(|path| path.to_string_lossy().into_owned());
    let set = set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]);
    let first = [binary, command.to_owned(), study, "--out".into(), folder];
    Ok(first.into_iter().chain(set).chain(["--backend".into(), backend.name().into()]).collect())
}

impl Submission<'_> {
    /// The folder of scripts and logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("slurm")
    }

    /// Where a job's output goes.
    fn log(&self, name: &str) -> String {
        // sbatch takes `%` for the start of a pattern, and a backslash before what it would take for its own.
        let folder = self.logs().display().to_string().replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\"");
        format!("--output=\"{folder}/{name}.log\"")
    }

    /// The job array's script.
    pub fn array(&self) -> Result<String> {
        let head = [format!("--array=1-{}", self.tasks), self.log("%a")];
        let body = format!(
            "export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-1}}\"\nexec {} --resume --shard \
             \"$SLURM_ARRAY_TASK_ID/{}\"\n",
            self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
            self.tasks
        );
        self.script(&head, self.options, &body)
    }

    /// The script that merges.
    pub fn merge(&self) -> Result<String> {
        let head = [self.log("merge")];
        let words = [self.words[0].as_str(), "report", &self.folder.to_string_lossy()].map(quoted).join(" ");
        // A partition or an account holds for it too; what a task needs does not.
        let is_place = |option: &&String| match option.starts_with("--") {
            true => ["--partition", "--account", "--qos", "--clusters", "--cluster"]
                .contains(&option.split(['=', ' ']).next().unwrap_or_default()),
            // A short option may have its value without a space.
            false => ["-p", "-A", "-q", "-M"].iter().any(|short| option.starts_with(short)),
        };
        let options: Vec<String> = self.options.iter().filter(is_place).cloned().collect();
        self.script(&head, &options, &format!("exec {words}\n"))
    }

    /// The script of one job whose tasks run together.
    pub fn together(&self) -> Result<String> {
        let head = [format!("--ntasks={}", self.tasks), self.log("search")];
        // Tasks of a job have the cores of each by the variable alone (Slurm 22.05 and later).
        let body = format!(
            "export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-1}}\" \
             SRUN_CPUS_PER_TASK=\"${{SLURM_CPUS_PER_TASK:-1}}\"\n\
             exec srun --label --kill-on-bad-exit=1 sh -c 'exec \"$0\" \"$@\" --shard \"$((SLURM_PROCID + 1))/{}\"' \
             {}\n",
            self.tasks,
            self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
        );
        self.script(&head, self.options, &body)
    }

    fn script(&self, head: &[String], options: &[String], body: &str) -> Result<String> {
        let here = std::env::current_dir().map_err(Error::io("."))?;
        if let Some(option) = options.iter().find(|option| option.contains('\n')) {
            return Err(Error::Usage(format!("--slurm-option {option:?}: expected one line")));
        }
        let name = self.name.replace(|c: char| c.is_control() || c.is_whitespace(), "-");
        let mut script =
            format!("#!/bin/sh\n#SBATCH --job-name={name}\n#SBATCH --requeue\n#SBATCH --open-mode=append\n");
        head.iter().chain(options).for_each(|option| script += &format!("#SBATCH {option}\n"));
        Ok(script + &format!("cd {} || exit 1\n{body}", quoted(&here.to_string_lossy())))
    }

    /// The folder of scripts and logs, made where it is missing.
    fn make_logs(&self) -> Result<PathBuf> {
        let logs = self.logs();
        if logs.to_string_lossy().contains(['\n', '\r']) {
            return Err(Error::Usage(format!(
                "--out {logs:?}: sbatch reads a line an option; expected a name without line ends"
            )));
        }
        fs::create_dir_all(&logs).map_err(Error::io(&logs))?;
        Ok(logs)
    }

    /// Writes the script of one job and submits it; gives its number.
    ///
    /// # Errors
    /// Those of [`Submission::submit`].
    pub fn submit_together(&self) -> Result<String> {
        let job = self.make_logs()?.join("search.sh");
        atomic::write(&job, self.together()?.as_bytes())?;
        sbatch(&[], &job)
    }

    /// Writes the scripts of the array and of what merges, and submits them.
    ///
    /// # Errors
    /// Where `sbatch` is not there or refuses; the scripts then are, to be submitted by hand.
    pub fn submit(&self) -> Result<Submitted> {
        let logs = self.make_logs()?;
        let (array, merge) = (logs.join("array.sh"), logs.join("merge.sh"));
        atomic::write(&array, self.array()?.as_bytes())?;
        atomic::write(&merge, self.merge()?.as_bytes())?;
        let number = sbatch(&[], &array)?;
        let merge = sbatch(&[format!("--dependency=afterany:{number}")], &merge)?;
        Ok(Submitted { array: number, merge })
    }
}

/// Submits a script; gives the job's number.
fn sbatch(options: &[String], script: &Path) -> Result<String> {
    let refuse = |what: String| {
        let message = format!("sbatch {what}; the scripts are in {}", script.parent().unwrap_or(script).display());
        Err(Error::Usage(message))
    };
    match Command::new("sbatch").arg("--parsable").args(options).arg(script).output() {
        Err(error) => refuse(format!("could not be run: {error}")),
        Ok(output) if !output.status.success() => {
            refuse(format!("refused: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        // The number, and on some clusters `;` and the cluster's name.
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            Ok(said.trim().split(';').next().unwrap_or_default().to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_without_a_file_is_refused_before_it_is_submitted() {
        // Tests run in the project's folder, where every shipped file stands.
        let study = |path: &str| words("sweep", Path::new(path), Path::new("runs/x"), &[], Backend::Cpu);
        assert!(study("recipes/fashion_shift.toml").is_ok());
        let error = study("nowhere/../recipes/fashion_shift.toml").unwrap_err().to_string();
        assert!(error.contains("comes with crosspike and is no file here"), "{error}");
    }

    #[test]
    fn logs_go_to_folders_of_any_name() {
        let submission = |folder| Submission {
            name: "s",
            tasks: 2,
            options: &[],
            folder: Path::new(folder),
            words: vec!["c".into()],
        };
        for (folder, expected) in [
            ("/r", "#SBATCH --output=\"/r/slurm/%a.log\"\n"),
            ("/100% sure", "#SBATCH --output=\"/100%% sure/slurm/%a.log\"\n"),
            ("/a \"b\" \\ c", "#SBATCH --output=\"/a \\\"b\\\" \\\\ c/slurm/%a.log\"\n"),
        ] {
            let array = submission(folder).array().unwrap();
            assert!(array.contains(expected), "{expected}: {array}");
        }
        assert!(submission("/a\nb").submit().err().unwrap().to_string().contains("without line ends"));
    }

    #[test]
    fn scripts_hold_words_as_they_are() {
        let options = ["--partition=short".to_string(), "--mem=4G".to_string()];
        let words = ["/bin/crosspike", "sweep", "it's a sweep.toml", "--out", "r"].map(String::from).to_vec();
        let submission = Submission { name: "a b", tasks: 7, options: &options, folder: Path::new("/r"), words };
        let (array, merge) = (submission.array().unwrap(), submission.merge().unwrap());
        assert!(array.contains("#SBATCH --array=1-7\n") && array.contains("#SBATCH --mem=4G\n"), "{array}");
        assert!(array.contains("#SBATCH --job-name=a-b\n") && array.contains("'it'\\''s a sweep.toml'"), "{array}");
        assert!(array.ends_with("--resume --shard \"$SLURM_ARRAY_TASK_ID/7\"\n"), "{array}");
        assert!(merge.ends_with("exec /bin/crosspike report /r\n") && merge.contains("--partition=short"), "{merge}");
        assert!(!merge.contains("--mem") && !merge.contains("--array"), "{merge}");
        let together = submission.together().unwrap();
        assert!(together.contains("#SBATCH --ntasks=7\n") && together.contains("#SBATCH --mem=4G\n"), "{together}");
        assert!(together.ends_with("+ 1))/7\"' /bin/crosspike sweep 'it'\\''s a sweep.toml' --out r\n"), "{together}");
        let options = ["--clusters=gpu", "-pshort", "-A lab", "-c4", "--mem=4G"].map(String::from);
        let merge = Submission { options: &options, ..submission }.merge().unwrap();
        let kept: Vec<bool> = options.iter().map(|option| merge.contains(&format!("#SBATCH {option}\n"))).collect();
        assert_eq!(kept, [true, true, true, false, false], "{merge}");
    }
}
