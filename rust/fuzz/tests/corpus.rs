//! The inputs that were kept hold.

use std::fs;
use std::path::Path;

use xmlsocket_fuzz::PROPERTIES;

/// Every file of every corpus holds, and no corpus is empty.
#[test]
fn corpus_of_every_property_holds() {
    for (name, property) in PROPERTIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut count = 0;
        for file in fs::read_dir(&folder).expect("the corpus is kept in the repository") {
            let path = file.expect("a readable folder").path();
            let input = fs::read(&path).expect("a readable file");
            property(&input);
            count += 1;
        }
        assert!(count > 10, "{} has only {count} inputs", folder.display());
    }
}
