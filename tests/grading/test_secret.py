"""The secret of a course: made once, kept, and never guessed around."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from casestudies.grading.secret import NAME, SecretError, course_secret, damage, submission_seed


def test_it_is_made_at_first_use_and_stays(tmp_path):
    assert course_secret(tmp_path) == course_secret(tmp_path)
    assert len(course_secret(tmp_path)) == 32
    assert os.listdir(tmp_path) == [NAME]


def test_only_the_owner_reads_it(tmp_path):
    course_secret(tmp_path)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_two_courses_have_two(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    assert course_secret(folders[0]) != course_secret(folders[1])


def test_runs_that_start_together_agree(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(course_secret, [tmp_path] * 32))) == 1


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 33, "\0" * 64])
def test_a_damaged_one_is_refused_and_kept(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(SecretError, match="does not hold 64 hexadecimal digits; put the saved secret back"):
        course_secret(tmp_path)
    assert (tmp_path / NAME).read_text() == text


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused(make, tmp_path):
    make(tmp_path / NAME)
    with pytest.raises(SecretError, match="is not a regular file; put the saved secret back"):
        course_secret(tmp_path)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("ab" * 32)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretError, match="cannot be read"):
        course_secret(tmp_path)


def test_damage_is_told_in_a_sentence_and_a_sound_one_or_none_is_not(tmp_path):
    assert damage(tmp_path) == "" and not os.listdir(tmp_path)
    course_secret(tmp_path)
    assert damage(tmp_path) == ""
    (tmp_path / NAME).write_text("cut o")
    assert "course_secret, the secret of the course, does not hold 64 hexadecimal digits" in damage(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    assert "the secret of the course, is not a regular file" in damage(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SecretError, match="cannot be written to .*make the folder writable"):
        course_secret(tmp_path / "missing")


VARIANTS = {
    "the secret": (b"2" * 32, "resnet", b"{}", {"a.txt": b"1"}),
    "the assignment": (b"1" * 32, "vgg", b"{}", {"a.txt": b"1"}),
    "the notebook": (b"1" * 32, "resnet", b"{ }", {"a.txt": b"1"}),
    "a file's bytes": (b"1" * 32, "resnet", b"{}", {"a.txt": b"2"}),
    "a file's name": (b"1" * 32, "resnet", b"{}", {"b.txt": b"1"}),
    "a file more": (b"1" * 32, "resnet", b"{}", {"a.txt": b"1", "b.txt": b""}),
    "where one part ends": (b"1" * 32, "resnet", b"{}a.txt", {"": b"1"}),
}


@pytest.mark.parametrize("what", VARIANTS)
def test_the_seed_follows(what):
    base = (b"1" * 32, "resnet", b"{}", {"a.txt": b"1"})
    assert submission_seed(*base) == submission_seed(*base) != submission_seed(*VARIANTS[what])


def test_the_same_work_has_the_same_seed_whenever_and_however_it_came():
    files = {"a.txt": b"1"}
    beside = {"timestamp.txt": b"2026-11-20", "submission_secret.txt": b"0123"}
    base = (b"1" * 32, "resnet", b"{}")
    assert submission_seed(*base, files) == submission_seed(*base, files | beside)


def test_the_cases_are_an_assignments_and_the_rest_is_a_submissions():
    one, other = (submission_seed(b"1" * 32, "resnet", data, {}).split("/") for data in (b"{}", b"{ }"))
    assert one[0] != other[0] and one[1] == other[1]
    assert submission_seed(b"1" * 32, "vgg", b"{}", {}).split("/")[1] != one[1]
    assert submission_seed(b"2" * 32, "resnet", b"{}", {}).split("/")[1] != one[1]
