#!/usr/bin/env bash
# Mutation testing of one module: tests/mutants.sh MODULE [SAMPLE]
#
# Needs cosmic-ray on the PATH; PYTHON runs the tests. Works on a copy, because
# cosmic-ray writes each mutant over the module. SAMPLE mutants are drawn with a
# fixed seed; without it all are tried.
set -euo pipefail
cd "$(dirname "$0")/.."

module=${1:?"name a module: flow, limits, outbox or pure"}
sample=${2:-0}
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
case $module in
    flow) tests="tests/test_flow.py" ;;
    limits) tests="tests/test_connection.py" ;;
    outbox) tests="tests/test_outbox.py" ;;
    pure) tests="tests/test_codec.py tests/test_codec_pieces.py tests/test_codec_vectors.py" ;;
    *) echo "no tests are named for $module" >&2; exit 2 ;;
esac

copy=$PWD/target/mutants/$module
rm -rf "$copy"
mkdir -p "$copy"
cp -r python tests pyproject.toml "$copy"
cd "$copy"

cat > mutants.toml <<EOF
[cosmic-ray]
module-path = "python/xmlsocket/$module.py"
timeout = 60.0
excluded-modules = []
test-command = "env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$copy/python $python -m pytest -q -x $tests"

[cosmic-ray.distributor]
name = "local"
EOF
cosmic-ray baseline mutants.toml
cosmic-ray init mutants.toml mutants.sqlite
"$python" - "$sample" <<'EOF'
import contextlib, random, sqlite3, sys

sample = int(sys.argv[1])
with contextlib.closing(sqlite3.connect("mutants.sqlite")) as store, store:
    # These modules write "|" only in annotations, which nothing evaluates.
    query = "SELECT job_id FROM mutation_specs WHERE operator_name {} '%BitOr%' ORDER BY job_id"
    drop = [job for (job,) in store.execute(query.format("LIKE"))]
    jobs = [job for (job,) in store.execute(query.format("NOT LIKE"))]
    drop += random.Random(1).sample(jobs, max(0, len(jobs) - sample)) if sample else []
    for table in ("mutation_specs", "work_items"):
        store.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job,) for job in drop])
EOF
cosmic-ray exec mutants.toml mutants.sqlite
cr-report --show-diff --surviving-only mutants.sqlite
cr-report mutants.sqlite | tail -n 3
