//! The modules of a crate, and which of them uses which.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::scan::{Named, scan};

/// A module's names below the crate: `["kernel", "log"]`.
pub(crate) type ModulePath = Vec<String>;

/// The modules of a crate that have files, without those for tests alone.
pub(crate) struct Tree {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    paths: Vec<Named>,
    /// What its `use` items name, by the name that they give it.
    imports: HashMap<String, Vec<String>>,
}

impl Tree {
    /// Reads all modules below a crate's root file.
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = Self { modules: BTreeMap::new() };
        tree.add(root, root.parent().expect("a folder"), Vec::new());
        tree
    }

    fn add(&mut self, file: &Path, folder: &Path, path: ModulePath) {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let scanned = scan(&text);
        for name in &scanned.modules {
            let below = folder.join(name);
            let candidates: [PathBuf; 2] =
                [folder.join(format!("{name}.rs")), below.join("mod.rs")];
            // One with a path attribute is another module's.
            let Some(child) = candidates.iter().find(|candidate| candidate.exists()) else {
                continue;
            };
            let mut path = path.clone();
            path.push(name.clone());
            self.add(child, &below, path);
        }
        let imports = scanned.paths.iter().filter(|named| named.within.is_empty());
        let imports = imports
            .filter_map(|named| Some((named.imported_as.clone()?, named.segments.clone())))
            .collect();
        self.modules.insert(path, Module { paths: scanned.paths, imports });
    }

    /// The rooms: modules straight below the crate.
    pub(crate) fn rooms(&self) -> BTreeSet<&str> {
        self.modules.keys().filter(|path| path.len() == 1).map(|path| path[0].as_str()).collect()
    }

    /// Which module uses which, through whatever re-exports it.
    pub(crate) fn uses(&self) -> BTreeSet<(ModulePath, ModulePath)> {
        let mut uses = BTreeSet::new();
        for (path, module) in &self.modules {
            for named in &module.paths {
                let scope = path.iter().chain(&named.within).cloned().collect();
                if let Some(to) = self.resolve(&scope, &named.segments, 8)
                    && to != *path
                {
                    uses.insert((path.clone(), to));
                }
            }
        }
        uses
    }

    /// Which module names which of these crates, or of their modules: `std::fs`.
    pub(crate) fn outside(&self, wanted: &str) -> impl Iterator<Item = &ModulePath> {
        let wanted: Vec<&str> = wanted.split("::").collect();
        let names = move |named: &Named| {
            named.segments.len() >= wanted.len()
                && named.segments.iter().zip(&wanted).all(|(segment, wanted)| segment == wanted)
        };
        self.modules
            .iter()
            .filter(move |(_, module)| module.paths.iter().any(&names))
            .map(|(path, _)| path)
    }

    /// The module that a path leads into, if it is one of this crate.
    fn resolve(
        &self,
        scope: &ModulePath,
        segments: &[String],
        further: usize,
    ) -> Option<ModulePath> {
        let mut module = scope.clone();
        let mut rest = segments;
        let mut relative = false;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            relative = true;
            rest = others;
        }
        if !relative {
            let mut child = module.clone();
            child.push(rest.first()?.clone());
            self.modules.get(&child)?;
        }
        // A module with its body in a file belongs to the file's.
        while let Some((first, others)) = rest.split_first() {
            let mut child = module.clone();
            child.push(first.clone());
            if self.modules.contains_key(&child) {
                module = child;
                rest = others;
                continue;
            }
            let import = self.modules.get(&module).and_then(|module| module.imports.get(first));
            if let Some(import) = import
                && further > 0
            {
                let onward: Vec<String> = import.iter().chain(others).cloned().collect();
                // What comes from outside, or from the same `use` again, is the module's own.
                return self.resolve(&module, &onward, further - 1).or(Some(module));
            }
            break;
        }
        while !self.modules.contains_key(&module) {
            module.pop()?;
        }
        Some(module)
    }
}
