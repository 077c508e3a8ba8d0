//! probe
use std::time::Instant;
fn main() {
    for f in std::env::args().skip(1) {
        let core = vmcorectl::vmcore::Vmcore::open(std::path::Path::new(&f)).unwrap();
        let t = Instant::now();
        let k = vmcorectl::kernel::Kernel::find(&core).unwrap();
        println!("{f}: find {:?}", t.elapsed());
        let t = Instant::now();
        let ty = k.types().is_ok();
        println!("  types {:?} {ty}", t.elapsed());
        let t = Instant::now();
        let ty = k.symbols().is_ok();
        println!("  symbols {:?} {ty}", t.elapsed());
        let t = Instant::now();
        let ty = k.symbol("runqueues");
        println!("  by name {:?} {ty:?}", t.elapsed());
        let t = Instant::now();
        let m = k.modules();
        println!("  modules {:?} {} {:?}", t.elapsed(), m.modules.len(), m.findings);
        let t = Instant::now();
        let m = k.tasks();
        println!("  tasks {:?} {} {:?}", t.elapsed(), m.tasks.len(), m.findings);
        for m in m.tasks.iter().filter(|t| t.on_cpu || t.mm.is_some()).take(8) {
            println!("  {m:?}");
        }
        let t = Instant::now();
        let c = vmcorectl::kernel::cpus::Cpus::of(&k, &core);
        println!("  cpus {:?} {:?}", t.elapsed(), c);
    }
}
