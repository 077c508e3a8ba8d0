//! A domain of a real libvirt, which shares nothing with the machine's.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::machine::wanted;
use crate::turn::Turn;

/// How long a guest in software emulation may take for anything, on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(180);
/// The domain's name.
pub(crate) const NAME: &str = "web-3";
/// What GUEST is.
pub(crate) const GUEST: &str = "libvirt:web-3";

/// A libvirt with one domain. Both end with it.
pub(crate) struct Domain {
    /// For sockets, whose paths must be short.
    folder: TempDir,
    /// For cores.
    space: TempDir,
    libvirtd: Option<Child>,
    /// Whether libvirt wants a user and a password.
    is_guarded: bool,
    _turn: Turn,
}

impl Domain {
    /// Boots a guest that panics in this way, with this `on_crash`.
    pub(crate) fn boot(crash: &str, on_crash: &str) -> Self {
        let mut domain = Self::without_libvirt();
        domain.start_libvirt();
        domain.start(crash, on_crash);
        domain
    }

    /// The folders of a libvirt that is yet to be started, and of a guest that is.
    pub(crate) fn without_libvirt() -> Self {
        wanted();
        let turn = Turn::take();
        let folder = TempDir::with_prefix("lv").expect("a directory");
        let space = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        Self { folder, space, libvirtd: None, is_guarded: false, _turn: turn }
    }

    /// Defines the guest, and boots it.
    pub(crate) fn start(&self, crash: &str, on_crash: &str) {
        let xml = self.space("domain.xml");
        fs::write(&xml, self.xml(crash, on_crash)).expect("an XML");
        self.virsh(&["define", xml.to_str().unwrap()]);
        self.virsh(&["start", NAME]);
    }

    /// Boots a guest, and waits until its panic holds it.
    pub(crate) fn panicked(crash: &str) -> Self {
        let domain = Self::boot(crash, "preserve");
        domain.await_state("crashed (panicked)");
        domain
    }

    /// Has libvirt call the hook of `samples/hooks` once it is started. The hook's program is
    /// where also a libvirt with another root finds it. Gives the spool.
    pub(crate) fn install_hook(&self) -> PathBuf {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/hooks/libvirt-qemu");
        let (program, script) = (self.space("vmcorectl"), self.space("libvirt-qemu"));
        fs::copy(env!("CARGO_BIN_EXE_vmcorectl"), &program).expect("a copy");
        fs::copy(sample, &script).expect("a copy");
        let spool = self.space("spool");
        let hook = self.path("etc/hooks/qemu.d/vmcorectl");
        fs::create_dir_all(hook.parent().expect("a folder")).expect("a folder");
        // libvirt passes no variables on.
        let text = format!(
            "#!/bin/sh\nexport VMCORECTL={} VMCORECTL_SPOOL={}\nexec {} \"$@\"\n",
            program.display(),
            spool.display(),
            script.display()
        );
        fs::write(&hook, text).expect("a hook");
        fs::set_permissions(hook, Permissions::from_mode(0o755)).expect("a program");
        spool
    }

    /// Starts libvirt, or starts it again.
    pub(crate) fn start_libvirt(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/libvirtd");
        let mut libvirtd = Command::new(script);
        libvirtd.args([self.folder.path(), self.space.path(), &guest_folder()]);
        if self.is_guarded {
            libvirtd.env("VMCORECTL_LIBVIRT_SASL", self.folder.path());
        }
        self.libvirtd = Some(libvirtd.spawn().expect("it starts"));
        let started = Instant::now();
        while !self.try_virsh(&["list"]).0 {
            let status = self.libvirtd.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(
                status.is_none(),
                "libvirtd ended ({status:?}): is it installed? {}",
                self.log()
            );
            assert!(started.elapsed() < TEST_TIMEOUT, "libvirt does not answer\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Starts libvirt again, with a socket that wants a user and a password, which
    /// [`Domain::uri`] has then.
    pub(crate) fn guard_libvirt(&mut self) {
        self.end_libvirt(Signal::TERM);
        self.is_guarded = true;
        let users = self.path("users");
        let config = format!("mech_list: scram-sha-256\nsasldb_path: {}\n", users.display());
        fs::write(self.path("libvirt.conf"), config).expect("a configuration");
        let mut add = Command::new("saslpasswd2")
            .args(["-p", "-c", "-a", "libvirt", "-f"])
            .args([users.as_os_str(), "web".as_ref()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("saslpasswd2 starts");
        add.stdin.take().expect("its input").write_all(b"p,=1\n").expect("a password");
        assert!(add.wait().expect("it ends").success());
        let text = "[credentials-web]\nauthname=web\npassword=p,=1\n\
                    [auth-libvirt-localhost]\ncredentials=web\n";
        fs::write(self.path("auth.conf"), text).expect("a password");
        self.start_libvirt();
    }

    /// Ends libvirt; its guest runs on.
    pub(crate) fn end_libvirt(&mut self, signal: Signal) {
        if let Some(mut libvirtd) = self.libvirtd.take() {
            let _ = kill_process(Pid::from_child(&libvirtd), signal);
            let _ = libvirtd.wait();
        }
    }

    /// Checks that libvirt lives and answers.
    #[track_caller]
    pub(crate) fn libvirt_answers(&mut self) {
        let ended = self.libvirtd.as_mut().expect("it runs").try_wait().unwrap();
        assert!(ended.is_none(), "libvirtd ended: {ended:?}\n{}", self.log());
        assert!(self.virsh(&["list", "--all"]).contains(NAME));
    }

    /// Whether a named pipe for libvirt was left behind.
    pub(crate) fn has_named_pipe(&self) -> bool {
        let left =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        left.into_iter().any(|name| name.to_string_lossy().starts_with("vmcorectl-"))
    }

    /// What is given to `--connect`.
    pub(crate) fn uri(&self) -> String {
        let uri = format!("qemu:///system?socket={}", self.path("libvirt-sock").display());
        match self.is_guarded {
            true => format!("{uri}&authfile={}", self.path("auth.conf").display()),
            false => uri,
        }
    }

    /// The domain's second QMP socket.
    pub(crate) fn second_monitor(&self) -> String {
        self.path("qmp").display().to_string()
    }

    /// A path for something large.
    pub(crate) fn space(&self, name: &str) -> PathBuf {
        self.space.path().join(name)
    }

    /// A store for its captures.
    pub(crate) fn store(&self) -> String {
        self.space("store").into_os_string().into_string().unwrap()
    }

    /// Has libvirt dump the held guest into a file.
    pub(crate) fn dump_by_libvirt(&self) -> PathBuf {
        let path = self.space("libvirt.elf");
        self.virsh(&["dump", "--memory-only", NAME, path.to_str().unwrap()]);
        path
    }

    /// What virsh prints.
    #[track_caller]
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        let (done, text) = self.try_virsh(arguments);
        assert!(done, "virsh {arguments:?}: {text}\n{}", self.log());
        text
    }

    /// A call of virsh, to be started.
    pub(crate) fn virsh_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["120", "virsh", "--connect", &self.uri()]).args(arguments);
        command.env("LC_ALL", "C");
        command
    }

    fn try_virsh(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.virsh_command(arguments).output().expect("timeout starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The domain's state, as virsh shows it.
    pub(crate) fn state(&self) -> String {
        self.virsh(&["domstate", "--reason", NAME]).trim().to_owned()
    }

    /// Waits for a state.
    #[track_caller]
    pub(crate) fn await_state(&self, wanted: &str) {
        self.await_that(|| self.state().starts_with(wanted), wanted);
    }

    /// Waits until a dump of the domain is under way.
    #[track_caller]
    pub(crate) fn await_job(&self) {
        let has_job = || self.job().is_some_and(|job| job.contains("Dump"));
        self.await_that(has_job, "a dump");
    }

    /// Waits until nothing is being done to the domain.
    #[track_caller]
    pub(crate) fn await_no_job(&self) {
        let has_none = || self.job().is_some_and(|job| job.contains("None"));
        self.await_that(has_none, "no job");
    }

    /// What is being done to the domain. libvirt does not say so between a dump's failure and its end.
    fn job(&self) -> Option<String> {
        let (done, text) = self.try_virsh(&["domjobinfo", NAME]);
        done.then_some(text)
    }

    /// Waits until the console has shown a text this often.
    #[track_caller]
    pub(crate) fn await_console(&self, text: &str, times: usize) {
        self.await_that(|| self.console().matches(text).count() >= times, text);
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn await_that(&self, is_so: impl Fn() -> bool, what: &str) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < TEST_TIMEOUT, "no {what:?}\n{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.path("serial.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let console = self.console();
        let start = console.len().saturating_sub(1000);
        let tail = console.get(start..).unwrap_or(&console);
        format!("libvirt said: {}\nconsole: {tail}", read("libvirtd.log"))
    }

    fn xml(&self, crash: &str, on_crash: &str) -> String {
        let guest = guest_folder();
        let initramfs = match crash {
            "sysrq" | "none" => "initramfs.gz",
            _ => "initramfs-crasher.gz",
        };
        let (kernel, initramfs) = (guest.join("vmlinuz"), guest.join(initramfs));
        assert!(kernel.exists(), "no {}; tests/run prepares a guest", kernel.display());
        format!(
            "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{NAME}</name><memory unit='MiB'>256</memory><vcpu>2</vcpu><cpu mode='maximum'/>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>
<cmdline>console=ttyS0 panic=5 guest.crash={crash}</cmdline></os>
<features><acpi/><vmcoreinfo state='on'/></features>
<on_crash>{on_crash}</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<serial type='file'><source path='{}'/></serial>
<panic model='isa'/><memballoon model='none'/><controller type='usb' model='none'/></devices>
<qemu:commandline><qemu:arg value='-qmp'/>
<qemu:arg value='unix:{},server=on,wait=off'/></qemu:commandline>
</domain>",
            kernel.display(),
            initramfs.display(),
            self.path("serial.log").display(),
            self.second_monitor(),
        )
    }
}

/// Where the guest's kernel is.
fn guest_folder() -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest");
    let folder = std::env::var_os("VMCORECTL_TEST_GUEST").map_or_else(ours, PathBuf::from);
    folder.canonicalize().expect("a guest; tests/run prepares one")
}

impl Drop for Domain {
    fn drop(&mut self) {
        self.end_libvirt(Signal::KILL);
        // A guest of libvirt outlives it.
        let number = fs::read_to_string(self.path("run/qemu").join(format!("{NAME}.pid")));
        let process = number.ok().and_then(|number| number.trim().parse().ok());
        if let Some(process) = process.and_then(Pid::from_raw) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}
