"""The plateau rule."""

from yanmo.train.heldout import Evaluation
from yanmo.train.plateau import reached, watched
from yanmo.train.recipe import PlateauSettings
from yanmo.train.tally import Rates

RULE = PlateauSettings("loss", evaluations=2, gain=0.01)


def test_a_falling_loss_goes_on() -> None:
    assert not reached(RULE, [4.0, 3.0, 2.0, 1.9, 1.85])


def test_two_evaluations_without_enough_gain_end_it() -> None:
    assert not reached(RULE, [4.0, 3.0])
    assert not reached(RULE, [3.0, 2.99, 2.9])
    assert reached(RULE, [3.0, 2.99, 2.98])
    assert reached(RULE, [3.0, 3.5, 3.2])


def test_off_is_off() -> None:
    assert not reached(PlateauSettings(), [3.0] * 9)


def test_the_figure_is_the_one_asked_for() -> None:
    found = Evaluation(Rates(8.0, 4), new=Rates(3.0, 1))
    assert watched(RULE, found) == 2.0
    assert watched(PlateauSettings("new_token_loss"), found) == 3.0
    assert watched(PlateauSettings("new_token_loss"), Evaluation(Rates(8.0, 4))) is None
    assert (
        watched(PlateauSettings("new_token_loss"), Evaluation(Rates(8.0, 4), Rates(0.0, 0))) is None
    )
