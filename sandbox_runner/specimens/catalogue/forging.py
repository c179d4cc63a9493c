"""Attempts to get a score that was not earned, or to break the host with an answer."""

from contracts.failures import FailureReason as Reason
from sandbox_runner.specimens.specimen import (
    EarnsConstantScore,
    EarnsTrueScore,
    Section,
    Specimen,
    denied,
    fails,
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
    ),
)
