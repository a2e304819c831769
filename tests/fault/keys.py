# SPDX-License-Identifier: Apache-2.0
"""`muster keys`, and a job whose coordinator asks for them."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess

from fault import FAST, MUSTER, RANK, Place, check, main, rank_of


def keys(place, *arguments, code=0):
    done = subprocess.run([MUSTER, "keys", "--out", place.folder, *arguments], text=True,
                          capture_output=True, timeout=60, check=False)
    check(done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def allow(place, *names):
    with open(place.path("allowed"), "w", encoding="utf-8") as file:
        file.write("".join(read(place.path(f"{name}.public")) for name in names))


def a_coordinator(place, endpoint, *more):
    started = place.coordinator("--bind", endpoint, "--journal", place.path("journal"), "--ready-fd",
                                "1", "--keys", place.path("coordinator.secret"), "--allowed",
                                place.path("allowed"), *more)
    started.waits_to_print("://")
    return started, re.search(r"\S+://\S+", started.out).group(0)


def with_keys(place, name):
    return ["--coordinator-key", place.path("coordinator.public"), "--key-file",
            place.path(f"{name}.secret")]


def pairs_are_made_private_and_never_replaced_unasked():
    with Place() as place:
        keys(place, "coordinator", "train")
        secret, public = place.path("train.secret"), place.path("train.public")
        check(stat.S_IMODE(os.stat(secret).st_mode) == 0o600, "the secret is open to others")
        before = read(secret)
        said = keys(place, "train", code=2)
        check("there already" in said and read(secret) == before, said)
        os.remove(secret)
        keys(place, "train", code=2)  # one half is enough
        check(not os.path.exists(secret), "a half pair was made")
        keys(place, "--overwrite", "train")
        check(read(secret) != before, "nothing was replaced")
        shown = keys(place, "--public", secret)
        check(shown.split()[0] == read(public).split()[0], shown)
        keys(place, "../escape", code=2)
        keys(place, code=2)
        check("cannot be written" in keys(place, "--out", "/nowhere", "x", code=5), "no reason")
        check(not [name for name in os.listdir(place.folder) if name.count(".") > 1],
              "temporary files are left")


def a_job_lives_through_losses_with_keys():
    with Place() as place:
        keys(place, "coordinator", "train")
        allow(place, "train")
        coordinator, endpoint = a_coordinator(place, "tcp://127.0.0.1:*")
        run = place.run("-n", "3", *FAST, "--coordinator", endpoint, *with_keys(place, "train"), "--",
                        RANK, "300", "10")
        run.waits_to_print("step 10 ")
        os.kill(rank_of(run, 1), signal.SIGKILL)
        run.waits_to_say("epoch 2 has 3 ranks")
        coordinator.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
        again, _ = a_coordinator(place, endpoint)
        run.waits_to_say("the coordinator is back")
        os.kill(rank_of(run, 2), signal.SIGKILL)
        run.ends_with(0).says("epoch 3 has 3 ranks")
        again.signal(signal.SIGTERM).ends_with(0)


def who_has_no_right_key_learns_why():
    with Place() as place:
        keys(place, "coordinator", "train", "stranger")
        allow(place, "train")
        coordinator, endpoint = a_coordinator(place, "tcp://127.0.0.1:*", "--events",
                                              place.path("events"))
        short = ["-n", "1", "--contact-ms", "2000", "--coordinator", endpoint]
        command = ["--", RANK, "5", "1"]
        place.run(*short, *command).ends_with(4).says("it asks for keys")
        place.run(*short, *with_keys(place, "stranger"), *command).ends_with(4).says(
            "its --allowed list lacks it")
        place.run(*short, "--coordinator-key", place.path("stranger.public"), "--key-file",
                  place.path("train.secret"), *command).ends_with(4).says("does not know itself")
        place.run(*short, "--key-file", place.path("train.secret"), *command).ends_with(2).says(
            "--coordinator-key is missing")
        os.chmod(place.path("stranger.secret"), 0o644)
        place.run(*short, *with_keys(place, "stranger"), *command).ends_with(2).says(
            "open to others")
        place.run(*short, "--coordinator-key", place.path("coordinator.public"), "--key-file",
                  place.path("train.public"), *command).ends_with(2)
        place.run(*short, *with_keys(place, "train"), *command).ends_with(0)
        coordinator.signal(signal.SIGTERM).ends_with(0).says("refused: ").says("is not allowed")
        counted = [json.loads(line) for line in read(place.path("events")).splitlines()
                   if '"refusals"' in line]
        check(counted and counted[-1]["unknown_keys"] > 0 and counted[-1]["wrong_keys"] > 0, counted)


def a_coordinator_says_what_is_wrong_with_its_files():
    with Place() as place:
        keys(place, "coordinator", "train")
        bind = ["--bind", "tcp://127.0.0.1:*"]
        secret, allowed = place.path("coordinator.secret"), place.path("allowed")
        place.coordinator(*bind, "--keys", secret).ends_with(2).says("--allowed")
        place.coordinator(*bind, "--keys", secret, "--allowed", allowed).ends_with(2).says(allowed)
        with open(allowed, "w", encoding="utf-8") as file:
            file.write("# a comment\n\nnot a key\n")
        os.chmod(allowed, 0o644)
        place.coordinator(*bind, "--keys", secret, "--allowed", allowed).ends_with(2).says("line 3")
        line = read(place.path("train.public"))
        with open(allowed, "w", encoding="utf-8") as file:
            file.write(line + line)
        place.coordinator(*bind, "--keys", secret, "--allowed", allowed).ends_with(2).says("twice")
        allow(place, "train")
        os.chmod(allowed, 0o666)
        place.coordinator(*bind, "--keys", secret, "--allowed", allowed).ends_with(2).says(
            "changed by others")
        os.chmod(allowed, 0o644)
        os.chmod(secret, 0o640)
        place.coordinator(*bind, "--keys", secret, "--allowed", allowed).ends_with(2).says(
            "open to others")


def keys_may_come_after_the_launcher():
    """A coordinator that asks for keys takes the place of one that did not: who has keys finds it."""
    with Place() as place:
        keys(place, "coordinator", "train")
        allow(place, "train")
        endpoint = f"ipc://{place.folder}/socket"
        plain = place.coordinator("--bind", endpoint, "--ready-fd", "1")
        plain.waits_to_print("ipc://")
        run = place.run("-n", "2", *FAST, "--contact-ms", "30000", "--coordinator", endpoint,
                        *with_keys(place, "train"), "--", RANK, "20", "1")
        run.waits_to_say("grandchildren")
        plain.signal(signal.SIGTERM).ends_with(0)
        a_coordinator(place, endpoint)
        run.ends_with(0)


def another_user_is_refused_over_ipc():
    if os.geteuid() != 0:
        print("        skipped: only root can become another user")
        return
    with Place() as place:
        os.chmod(place.folder, 0o755)
        theirs = place.path("muster")
        shutil.copy(MUSTER, theirs)
        os.chmod(theirs, 0o755)
        socket = place.path("socket")
        coordinator = place.coordinator("--bind", f"ipc://{socket}", "--ready-fd", "1")
        coordinator.waits_to_print("ipc://")
        os.chmod(socket, 0o777)
        # The socket's own mode would do already; behind it the coordinator asks the kernel.
        environment = {**place.environment, "XDG_RUNTIME_DIR": "/nowhere"}
        done = subprocess.run([theirs, "run", "-n", "1", "--contact-ms", "1500", "--coordinator",
                               f"ipc://{socket}", "--", "/bin/true"], text=True, cwd="/",
                              capture_output=True, timeout=60, check=False, env=environment,
                              user=65534, group=65534, extra_groups=[])
        check(done.returncode == 4 and "another user" in done.stderr, f"{done}")
        place.run("-n", "1", "--coordinator", f"ipc://{socket}", "--", RANK, "5", "1").ends_with(0)
        coordinator.signal(signal.SIGTERM).ends_with(0).says("connections of other users")


if __name__ == "__main__":
    main(pairs_are_made_private_and_never_replaced_unasked, a_job_lives_through_losses_with_keys,
         who_has_no_right_key_learns_why, a_coordinator_says_what_is_wrong_with_its_files,
         keys_may_come_after_the_launcher, another_user_is_refused_over_ipc)
