"""Attempts to get a score that was not earned, or to break the host with an answer."""

from contracts.failures import FailureReason as Reason
from contracts.failures import TimeoutPhase
from sandbox_runner.specimens.specimen import (
    EarnsConstantScore,
    EarnsTrueScore,
    Section,
    Specimen,
    denied,
    fails,
    times_out,
)

SECTION = Section(
    "Forging the score",
    (
        denied("prints_a_fake_score", "Writes the score it wants to stdout, stderr and files."),
        denied(
            "patches_torch",
            "Replaces what a host might use to measure: argmax, equality, clocks, JSON, sum.",
        ),
        denied(
            "hunts_for_labels",
            "Searches its own process for the labels of the images that it is asked about.",
            essential=True,
        ),
        fails(
            "patches_the_guest",
            "Replaces the part of the guest that checks its answers, so that malformed ones go out.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "writes_to_the_result_channel",
            "Writes garbage to the inherited descriptor.",
            Reason.INVALID_RESULT,
        ),
        fails("announces_a_huge_answer", "Announces four gigabytes.", Reason.INVALID_RESULT),
        fails(
            "answers_twice", "Sends an answer of its own beside the one that is due.", Reason.INVALID_RESULT
        ),
        fails(
            "answers_before_it_is_asked",
            "Claims to be trained and sends answers before the first image.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "answers_from_a_thread",
            "Lets a background thread write to the result channel as fast as it can.",
            Reason.INVALID_RESULT,
        ),
        fails("closes_the_channel", "Closes the result channel and waits.", Reason.INVALID_RESULT),
        fails(
            "claims_nested_json",
            "Claims a JSON document that is nothing but brackets.",
            Reason.INVALID_RESULT,
        ),
        Specimen(
            "claims_absurd_numbers", "Claims numbers about its training that mean nothing.", EarnsTrueScore()
        ),
        fails(
            "blames_the_platform",
            "Reports its own failure as one of the platform, to be run again at no cost.",
            Reason.TRAIN_ERROR,
            "not my fault",
        ),
        Specimen(
            "takes_over_the_channel",
            "Speaks the protocol by itself and names class 0 for every image.",
            EarnsConstantScore(),
            essential=True,
        ),
        Specimen("predicts_a_constant", "Names the same class for every image.", EarnsConstantScore()),
        fails("answers_in_a_wrong_shape", "Returns one row too many.", Reason.INVALID_RESULT, "shape"),
        fails("answers_for_too_few_images", "Returns one row too few.", Reason.INVALID_RESULT, "shape"),
        fails("answers_in_integers", "Returns whole numbers.", Reason.INVALID_RESULT, "int64"),
        fails("answers_with_a_list", "Returns a Python list.", Reason.INVALID_RESULT, "list"),
        fails(
            "answers_with_a_subclass",
            "Returns a Tensor of a class of its own, which computes when it is looked at.",
            Reason.INVALID_RESULT,
            "Sly",
        ),
        fails(
            "answers_with_a_lazy_object",
            "Returns an object that pretends to be an array.",
            Reason.INVALID_RESULT,
            "Lazy",
        ),
        fails("answers_with_nan", "Returns NaN.", Reason.NON_FINITE),
        fails("answers_with_infinity", "Returns infinity.", Reason.NON_FINITE),
        fails("loses_its_loss", "Lets the training loss become NaN.", Reason.NON_FINITE),
        fails(
            "raises_a_hostile_exception", "Raises an exception whose text cannot be had.", Reason.TRAIN_ERROR
        ),
        fails(
            "raises_a_huge_message",
            "Raises an exception with a megabyte of control characters.",
            Reason.TRAIN_ERROR,
            "\\x1b",
        ),
        fails(
            "has_no_usable_constructor",
            "Its Net wants arguments that nobody gives.",
            Reason.CONTRACT_VIOLATION,
            "Net(in_shape, out_shape)",
        ),
        fails("is_no_module", "Its Net is no torch module.", Reason.CONTRACT_VIOLATION),
        fails(
            "deletes_its_network",
            "Takes its own Net away after it was seen in the source.",
            Reason.CONTRACT_VIOLATION,
        ),
        denied(
            "patches_the_loss",
            "Replaces the loss by one whose value is always zero and whose gradient is the true one.",
        ),
        denied(
            "claims_another_score",
            "Adds an accuracy, flags and a state of its own to the claims about its training.",
        ),
        denied(
            "claims_numbers_beyond_all_bounds",
            "Claims numbers that no float holds: 10 to the power of 400, infinity, NaN, true.",
        ),
        fails("claims_too_much", "Claims five kilobytes about its training.", Reason.INVALID_RESULT),
        fails("claims_a_list", "Claims a list instead of an object.", Reason.INVALID_RESULT, "JSON object"),
        fails(
            "claims_no_unicode",
            "Claims bytes that are no Unicode, as if they were JSON.",
            Reason.INVALID_RESULT,
            "JSON object",
        ),
        fails(
            "announces_phases_again",
            "Says that it is built before it is, so that the clock for building stops.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "sends_a_job_to_the_host",
            "Sends the host frames that only the host may send.",
            Reason.INVALID_RESULT,
        ),
        fails("sends_half_an_answer", "Ends in the middle of an answer.", Reason.INVALID_RESULT),
        times_out(
            "stops_within_an_answer",
            "Sends all of an answer but its last byte, and keeps that.",
            TimeoutPhase.PREDICT,
            predict_batch_seconds=1.5,
        ),
        denied("drips_its_answers", "Sends every frame byte by byte."),
        fails("writes_every_answer_twice", "Makes os.write write everything twice.", Reason.INVALID_RESULT),
        fails(
            "packs_other_lengths",
            "Replaces the packing of headers: every frame announces the greatest length there is.",
            Reason.INVALID_RESULT,
        ),
        denied(
            "answers_from_a_child",
            "Lets a child finish the examination with well-formed answers, while its parent only waits.",
        ),
        fails(
            "answers_while_its_parent_is_gone",
            "Lets a child answer and ends the first process meanwhile.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "answers_after_the_last_batch",
            "Hides in the flushing of standard output, at the very end, and sends one more answer.",
            Reason.INVALID_RESULT,
        ),
        denied(
            "answers_after_its_end", "Leaves a child that sends answers after the candidate has ended well."
        ),
        fails("closes_its_questions", "Closes the descriptor on which it is asked.", Reason.PREDICT_ERROR),
        fails(
            "puts_a_pipe_over_the_channel",
            "Puts a pipe of its own over the result channel.",
            Reason.INVALID_RESULT,
            "closed",
        ),
        fails(
            "puts_a_file_over_its_questions",
            "Puts a file over the descriptor on which it is asked, to ask itself an easy question.",
            Reason.INVALID_RESULT,
        ),
        denied(
            "reopens_its_pipes",
            "Opens every descriptor that it has anew through /proc, the other way round too.",
        ),
        denied("peeks_at_the_next_batch", "Waits for the next images before it has answered for these."),
        fails("answers_with_complex_numbers", "Returns complex numbers.", Reason.INVALID_RESULT, "complex64"),
        fails("answers_with_a_sparse_tensor", "Returns a sparse tensor.", Reason.INVALID_RESULT),
        fails(
            "answers_with_a_meta_tensor",
            "Returns a tensor that has a shape and no content.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "answers_with_a_quantised_tensor", "Returns a quantised tensor.", Reason.INVALID_RESULT, "quint8"
        ),
        fails(
            "answers_with_a_nested_tensor",
            "Returns a nested tensor, whose rows have no common length.",
            Reason.INVALID_RESULT,
        ),
        fails(
            "answers_with_an_array",
            "Returns an ndarray of a class of its own, with a shape and a type that lie.",
            Reason.INVALID_RESULT,
            "Sly",
        ),
        fails(
            "answers_with_objects",
            "Returns an array of Python objects that act when they are looked at.",
            Reason.INVALID_RESULT,
            "ndarray",
        ),
        fails(
            "answers_with_classes",
            "Returns the numbers of classes, some of which do not exist.",
            Reason.INVALID_RESULT,
            "shape",
        ),
        fails(
            "answers_with_a_parameter",
            "Returns a parameter, which is a Tensor of another class.",
            Reason.INVALID_RESULT,
            "Parameter",
        ),
        fails(
            "answers_with_a_coroutine",
            "Returns a promise to compute the answer later.",
            Reason.INVALID_RESULT,
            "coroutine",
        ),
        fails("answers_with_nothing", "Returns nothing at all.", Reason.INVALID_RESULT, "NoneType"),
        denied(
            "answers_in_double_precision",
            "Returns float64 with gradients, in a strange layout: odd, but every number is there.",
        ),
        fails(
            "answers_beyond_float32", "Returns numbers that are finite in float64 alone.", Reason.NON_FINITE
        ),
        denied(
            "answers_in_a_lazy_layout",
            "Returns views that are not computed yet: expanded, negated and conjugated.",
        ),
        denied(
            "changes_its_answer_later",
            "Changes the tensor that it has returned, from a thread, while the guest sends it.",
        ),
        denied("swaps_modules", "Puts modules of its own into sys.modules, in the places of the guest's."),
        denied("hooks_imports", "Stands between every import and its module."),
        denied(
            "traces_the_guest",
            "Traces every call of the guest and reads the variables of its frames while it is examined.",
        ),
        denied(
            "scans_its_heap_for_labels",
            "Searches all memory of its process for the labels of the examination, whatever their type.",
        ),
        fails(
            "raises_with_hostile_attributes",
            "Raises an exception whose attributes, causes and truth raise in their turn.",
            Reason.TRAIN_ERROR,
        ),
        fails("raises_in_a_ring", "Raises two exceptions that are each other's cause.", Reason.TRAIN_ERROR),
        fails(
            "claims_another_reason",
            "Reports a reason that would be counted against somebody else.",
            Reason.TRAIN_ERROR,
            "my proposer",
        ),
        fails(
            "sends_an_unreadable_failure",
            "Reports a failure that is no JSON.",
            Reason.INVALID_RESULT,
            "unreadable",
        ),
        fails("sends_a_huge_failure", "Reports a failure of twenty kilobytes.", Reason.INVALID_RESULT),
        fails(
            "reports_a_failure_of_types",
            "Reports a failure whose parts are of the wrong types.",
            Reason.TRAIN_ERROR,
        ),
        fails(
            "carries_a_table_of_labels",
            "Carries the labels of the examination in a list.",
            Reason.POLICY_VIOLATION,
            "literal",
        ),
        fails(
            "carries_a_table_of_bytes",
            "Carries the labels of the examination in a byte string.",
            Reason.POLICY_VIOLATION,
            "literal",
        ),
        fails(
            "adds_up_its_table",
            "Carries the labels of the examination in pieces that are short enough, and adds them up.",
            Reason.POLICY_VIOLATION,
            "literal",
        ),
        fails(
            "nests_too_deeply",
            "Nests an expression deeper than those who walk it can stand.",
            Reason.POLICY_VIOLATION,
            "nests",
        ),
        fails(
            "breaks_the_parser",
            "Nests an expression deeper than Python's parser can stand.",
            Reason.SYNTAX_ERROR,
        ),
        times_out(
            "trains_twenty_times",
            "Takes the labels of its first batch from the frames above and trains on it again and again.",
            TimeoutPhase.TRAIN,
            cpu_seconds=2,
        ),
        denied(
            "adapts_to_each_batch",
            "Goes on learning from the images that it is examined on, batch by batch, without their labels.",
        ),
        denied(
            "acts_only_when_examined",
            "Behaves until it is examined; then it looks for labels, the network and a way out.",
        ),
        denied(
            "prints_false_reports",
            "Prints what the platform itself prints: states, frames, marks of cut logs, fences.",
        ),
        times_out(
            "learns_for_ever",
            "Keeps the batches of its one epoch and goes on learning from them, under the other contract.",
            TimeoutPhase.TRAIN,
            cpu_seconds=2,
        ),
        Specimen(
            "learns_nothing",
            "Learns nothing and names class 0, under the other contract.",
            EarnsConstantScore(),
        ),
        denied(
            "trains_while_examined",
            "Says that it is trained before it is, and trains while the host waits for its first answer.",
        ),
    ),
)
