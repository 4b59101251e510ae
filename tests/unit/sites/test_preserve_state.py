"""Tests of the state that a run of a model leaves as it was."""

from threading import Thread

import torch
import torch._dynamo.eval_frame as dynamo

from actlab.sites.trace.preserve_state import uncompiled


def test_blocks_that_overlap_in_two_threads_leave_the_stance_as_it_was():
    before = dynamo._stance.stance
    first, second = uncompiled(), uncompiled()
    first.__enter__()
    thread = Thread(target=second.__enter__)
    thread.start()
    thread.join()
    first.__exit__(None, None, None)
    assert dynamo._stance.stance == "force_eager"  # the second block goes on
    thread = Thread(target=second.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert dynamo._stance.stance == before


def test_a_block_within_a_block_and_a_block_that_raises_leave_the_stance_as_it_was():
    before = dynamo._stance.stance
    try:
        with uncompiled(), uncompiled():
            torch.compile(torch.sin, backend="eager")(torch.ones(2))
            raise ValueError
    except ValueError:
        pass
    assert dynamo._stance.stance == before
