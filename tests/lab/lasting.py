"""Calls of a certain length, and when they come, so that gaps begin and end where they should."""
from scenarios import direct
from sip import answers, ignores


async def talk(story, seconds):
    """A customer calls a desk, which answers after 1 s; they talk; the customer hangs up."""
    desk = story.first
    desk.on_call = answers(1)
    customer = story.customer_calls(direct(desk))
    await customer.wait_up()
    await customer.wait_end(seconds)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, [(desk.user, desk.calls[0])], [desk.user])


async def talk_outbound(story, seconds):
    """A desk dials a customer, who answers after 1 s; they talk; the desk hangs up."""
    number = story.customer(answers(1))
    call = story.first.call(number)
    await call.wait_up()
    await call.wait_end(seconds)
    call.hang_up()
    leg = story.leg_to(number)
    await leg.wait_end()
    story.tell("outbound", number, leg, [(story.first.user, call)], wait=leg.up_at - call.started)


async def wait_in_vain(story, seconds):
    """A customer waits in a queue, both agents ring; he gives up."""
    story.first.on_call = story.second.on_call = ignores()
    await story.agents_are_free()
    customer = story.customer_calls(f"7495700050{story.pair}")
    await customer.wait_up()
    await customer.wait_end(seconds)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, rang=story.rang())


async def ring_in_vain(story, seconds):
    """A customer calls a desk, which rings; he gives up."""
    story.first.on_call = ignores()
    customer = story.customer_calls(direct(story.first))
    await customer.wait_end(seconds)
    customer.hang_up()
    story.tell("inbound", customer.caller, customer, rang=[story.first.user])


def lasting(play, seconds):
    async def scenario(story):
        await play(story, seconds)
    scenario.__name__ = f"{play.__name__}_{seconds}_s"
    return scenario


# The fourth pair of desks and the third have calls at known times; the first two play whatever comes.
# (beginning, scenario): over the edges of the cut and of the stop, within them, and over all of them.
THIRD_PAIR = [(3, lasting(talk, 85))]
FOURTH_PAIR = [
    (12, lasting(talk_outbound, 14)),  # ends in the cut
    (30, lasting(talk, 12)),           # begins and ends in it
    (45, lasting(wait_in_vain, 3)),
    (50.5, lasting(talk, 15)),         # begins in the cut, and ends after it
    (68, lasting(talk_outbound, 20)),  # is up when the stopped daemon comes back
]

# Nobody hangs up before the PBX is gone.
UNTIL_IT_DIES = [lasting(play, 60) for play in (talk, talk_outbound, wait_in_vain, ring_in_vain)]
