"""What tools/gpu_proof writes of a run on a GPU: tables from files, and nothing by hand."""

import importlib.util
import json
import shutil

import pytest
from places import ROOT

RESULTS = ROOT / "bench" / "results" / "h200"
PAGE = ROOT / "docs" / "gpu.md"


@pytest.fixture(scope="module")
def report():
    """The script report.py as a module."""
    path = ROOT / "tools" / "gpu_proof" / "report.py"
    spec = importlib.util.spec_from_file_location("gpu_proof_report", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_results(report):
    text = PAGE.read_text()
    assert report.with_report(text, RESULTS) == text


def test_a_table_follows_its_file(report, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(RESULTS, folder)
    measured = json.loads((folder / "torch.json").read_text())
    for row in measured["rows"]:
        if (row["workload"], row["contestant"]) == ("BERT-large", "tf_mavg: update, float32"):
            row["seconds"] *= 2
    (folder / "torch.json").write_text(json.dumps(measured))
    (before,), (after,) = (
        [line for line in report.report(of).splitlines() if "BERT-large: update, float32" in line]
        for of in (RESULTS, folder)
    )
    times = [float(line.split("|")[2].replace(",", "")) for line in (before, after)]
    assert times[1] == pytest.approx(2 * times[0], rel=1e-3)


def test_a_page_without_marks_is_refused(report):
    with pytest.raises(ValueError, match="must hold the marks <!-- gpu --> and"):
        report.with_report("# A page", RESULTS)


def test_every_check_on_the_gpu_had_passed():
    results = json.loads((RESULTS / "check.json").read_text())["results"]
    images = {name for r in results for name in ("machine code", "PTX") if name in r["subject"]}
    assert images == {"machine code", "PTX"}
    assert {result["outcome"] for result in results} == {"passed"}
