//! A fleet's tables as other programs read them, and `triage` as other engines run it: the files of
//! `samples/fleet`, run for real.
//!
//! `tests/run` installs the programs in `target/fleet-venv`, and Ray and the schemas of Kubernetes,
//! in the full run, in `target/engines-venv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::CORE;
use crate::command::{Answer, project, run};
use crate::leave_out::leave_out;
use crate::push::{add, push};
use crate::seaweedfs::SeaweedFs;

/// How many crashes the table has.
const CRASHES: &str = "3000";

/// The Python of an environment; `None` if it is not installed and need not be.
fn python(environment: &str) -> Option<PathBuf> {
    let program = project().join("target").join(environment).join("bin/python");
    if !program.exists() {
        let line = "a test is left out: it needs Python's packages; tests/run leaves nothing out";
        let may_be = environment == "engines-venv" && std::env::var("VMCORECTL_TEST_FULL").is_err();
        assert!(may_be || leave_out(line), "nothing is in target/{environment}");
        return None;
    }
    Some(program)
}

/// The same with a program of this crate in its path.
fn with_program(mut command: Command) -> Command {
    let own = Path::new(env!("CARGO_BIN_EXE_vmcorectl")).parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path)));
    command.env("PATH", path.unwrap()).current_dir(project()).env("VMCORECTL_CACHE", "0");
    command
}

#[track_caller]
fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}\n{printed}\n{said}");
    output
}

#[track_caller]
fn text(answer: Answer) -> Vec<u8> {
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    answer.stdout
}

/// All rows below a store that are in no part.
fn rows(store: &Path) -> Vec<u8> {
    let days = fs::read_dir(store.join("index/new")).unwrap();
    let files = days.flat_map(|day| fs::read_dir(day.unwrap().path()).unwrap());
    files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn other_programs_read_the_tables_and_answer_what_a_fleet_asks() {
    let Some(python) = python("fleet-venv") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = |name: &str| at(name).to_str().unwrap().to_owned();
    // The row of a real crash, others that are varied from it, with titles of real logs.
    let (real, store) = (path("real"), path("store"));
    text(run(&["import", CORE, "--store", &real], &[]));
    text(run(&["report", "--save", "latest", "--store", &real], &[]));
    text(run(&["index", "--store", &real], &[]));
    fs::write(at("real.jsonl"), rows(&at("real"))).unwrap();
    let mut unpack = Command::new("zstd");
    unpack.args(["-dqo", &path("logs"), "tests/corpus/syzkaller.jsonl.zst"]);
    done(with_program(unpack));
    let explained = text(run(&["explain", "--jsonl", &path("logs")], &[]));
    fs::write(at("explained"), explained).unwrap();
    let mut make = Command::new(&python);
    make.arg("tests/remote/fleet/rows.py");
    make.args([&path("real.jsonl"), &path("explained"), CRASHES, &store]);
    done(with_program(make));
    fs::write(at("rows"), [rows(&at("real")), rows(&at("store"))].concat()).unwrap();
    for day in fs::read_dir(at("real/index/new")).unwrap() {
        let day = day.unwrap();
        let there = at("store/index/new").join(day.file_name());
        fs::create_dir_all(&there).unwrap();
        for row in fs::read_dir(day.path()).unwrap() {
            let row = row.unwrap();
            fs::copy(row.path(), there.join(row.file_name())).unwrap();
        }
    }
    text(run(&["index", "--compact", "--store", &store], &[]));
    // As two hosts leave it that compacted the same rows: some are there twice.
    let day = fs::read_dir(at("store/index/crashes")).unwrap().next().unwrap().unwrap().path();
    let part = fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    fs::copy(part, day.join("part-00.parquet")).unwrap();
    fs::write(at("listed"), text(run(&["list", "--json", "--store", &store], &[]))).unwrap();
    let mut judge = Command::new(&python);
    judge.args(["tests/remote/fleet/judges.py", &store, &path("rows"), &path("listed")]);
    done(with_program(judge));
}

/// A store with cores in a bucket, and the lines that `triage` makes of them here.
struct Fleet {
    server: SeaweedFs,
    folder: tempfile::TempDir,
    expected: BTreeMap<String, Vec<u8>>,
}

const STORE: &str = "s3://fleet/cores";

/// The lines in a directory, by their names.
fn lines(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for version in fs::read_dir(out).unwrap() {
        for line in fs::read_dir(version.unwrap().path()).unwrap() {
            let line = line.unwrap();
            let name = line.file_name().into_string().unwrap();
            found.insert(name, fs::read(line.path()).unwrap());
        }
    }
    found
}

impl Fleet {
    fn start() -> Option<Self> {
        let server = SeaweedFs::start("fleet")?;
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        for number in 0..4 {
            add(&store, &format!("web/2026010{number}T000000Z-aaaa000{number}"), None);
        }
        // Its line has a reason: it is no core.
        add(&store, "web/20260109T000000Z-aaaa0009", Some(b"no core"));
        assert_eq!(push(&store, &["--all"], &server.variables()).code, Some(0));
        let out = folder.path().join("expected");
        let out = out.to_str().unwrap();
        text(run(&["triage", "--from", STORE, "--out", out], &server.variables()));
        let expected = lines(Path::new(out));
        assert_eq!(expected.len(), 5);
        Some(Self { server, folder, expected })
    }

    /// Runs what makes the same lines.
    #[track_caller]
    fn check(&self, name: &str, commands: impl FnOnce(&str) -> Vec<Command>) {
        let out = self.folder.path().join(name);
        for mut command in commands(out.to_str().unwrap()) {
            command.envs(self.server.variables()).env("HOME", self.folder.path());
            done(with_program(command));
        }
        assert!(lines(&out) == self.expected, "{name} made other lines");
    }
}

#[test]
fn engines_make_the_reports_that_one_process_makes() {
    let Some(python) = python("fleet-venv") else { return };
    let Some(fleet) = Fleet::start() else { return };
    fleet.check("dask", |out| {
        let mut dask = Command::new(&python);
        dask.args(["samples/fleet/triage-dask.py", STORE, out, "4"]);
        vec![dask]
    });
    fleet.check("slurm", |out| {
        let task = |number: usize| {
            let mut task = Command::new("bash");
            task.args(["samples/fleet/triage.sbatch", STORE, out]);
            task.env("SLURM_ARRAY_TASK_ID", number.to_string());
            task.env("SLURM_ARRAY_TASK_COUNT", "2");
            task
        };
        (0..2).map(task).collect()
    });
    fleet.check("kubernetes", |out| {
        let mut manifest = Command::new(&python);
        manifest.args(["tests/remote/fleet/manifest.py", "samples/fleet/triage-kubernetes.yaml"]);
        let words = String::from_utf8(done(with_program(manifest)).stdout).unwrap();
        let [shell, option, script] = words.lines().collect::<Vec<_>>()[..] else {
            panic!("{words}")
        };
        let script = script.replace("s3://cores/prefix", STORE).replace("s3://cores/triage", out);
        let pod = |index: usize| {
            let mut pod = Command::new(shell);
            pod.args([option, &script.replace("/64\"", "/3\"")]);
            pod.env("JOB_COMPLETION_INDEX", index.to_string());
            pod
        };
        (0..3).map(pod).collect()
    });
    // Spark needs a Java machine: its file is compiled.
    let mut spark = Command::new(&python);
    spark.args(["-c", "import ast; ast.parse(open('samples/fleet/triage-spark.py').read())"]);
    done(with_program(spark));
}

/// Full run. Ray takes the machine's outward address: it gets a network of its own.
#[test]
fn ray_makes_the_same_reports_and_kubernetes_takes_the_job() {
    let Some(python) = python("engines-venv") else { return };
    let mut manifest = Command::new(&python);
    manifest.args(["tests/remote/fleet/manifest.py", "samples/fleet/triage-kubernetes.yaml"]);
    assert_eq!(done(with_program(manifest)).stderr, b"valid\n");
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    for number in 0..3 {
        add(&store, &format!("web/2026010{number}T000000Z-aaaa000{number}"), None);
    }
    let (store, at) = (store.to_str().unwrap(), |name: &str| folder.path().join(name));
    let (here, there) = (at("here"), at("there"));
    text(run(&["triage", "--from", store, "--out", here.to_str().unwrap()], &[]));
    let mut ray = Command::new("unshare");
    ray.args(["-rn", "sh", "-c", "ip link set lo up && exec \"$@\"", "-"]).arg(&python);
    ray.args(["samples/fleet/triage-ray.py", store, there.to_str().unwrap(), "3"]);
    ray.env("HOME", folder.path());
    done(with_program(ray));
    assert!(lines(&here) == lines(&there), "Ray made other lines");
}

/// What is encrypted is opened by the key, and without it has a reason.
#[test]
fn triage_opens_what_is_encrypted() {
    use age::secrecy::ExposeSecret;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plain, sealed, key) = (at("plain"), at("sealed"), at("key"));
    let identity = age::x25519::Identity::generate();
    fs::write(&key, identity.to_string().expose_secret()).unwrap();
    let to = identity.to_public().to_string();
    text(run(&["import", CORE, "--store", &plain], &[]));
    text(run(&["import", CORE, "--store", &sealed, "--encrypt-to", &to], &[]));
    let triage = |store: &str, out: &str, options: &[&str]| -> serde_json::Value {
        let out = at(out);
        let words = [&["triage", "--from", store, "--out", &out], options].concat();
        text(run(&words, &[]));
        let lines = lines(Path::new(&out));
        serde_json::from_slice(lines.values().next().unwrap()).unwrap()
    };
    let with = triage(&sealed, "with", &["--identity", &key]);
    let of_plain = triage(&plain, "of-plain", &[]);
    assert_eq!(with["problem"], serde_json::Value::Null, "{with}");
    for field in ["title", "signature", "cpus", "modules", "tasks"] {
        assert_eq!(with["row"][field], of_plain["row"][field], "{field}");
    }
    let without = triage(&sealed, "without", &[]);
    assert!(without["problem"].as_str().unwrap().contains("encrypted"), "{without}");
}
