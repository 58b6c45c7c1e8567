"""Names for containers that were given none."""

import secrets
from collections.abc import Callable

_FIRST = (
    "amber azure bold brave bright brisk calm clear clever coral cosy crisp daring deep eager early fair fast fine "
    "fleet fluent fresh gentle glad golden grand happy humble jolly keen kind lively loyal lucid lucky mellow merry "
    "mild neat nimble noble patient placid polite proud quick quiet ready silent silver sleek smart smooth snug sober "
    "solid spry steady still sunny swift tender tidy tranquil true vivid warm wary wise witty young zesty"
).split()
_SECOND = (
    "anchovy barbel bass bleak blenny bonito bream brill carp catfish char chub cod dab dace danio darter dory eel "
    "flounder garfish goby grayling grouper gudgeon gurnard guppy haddock hake halibut herring huchen ide lamprey ling "
    "loach lumpfish mackerel marlin minnow mullet opah orfe perch pike pilchard piranha plaice pollock ray roach ruffe "
    "salmon sardine shad shark skate smelt snapper sole sprat sturgeon sunfish tench tetra trout tuna turbot wahoo "
    "whiting wrasse zander"
).split()


def random_name(is_taken: Callable[[str], bool]) -> str:
    """Two words of the sea, with a digit once the plain ones are taken."""
    for attempt in range(1000):
        name = f"{secrets.choice(_FIRST)}_{secrets.choice(_SECOND)}"
        if attempt > 5:
            name += str(secrets.randbelow(10 ** min(attempt // 5, 9)))
        if not is_taken(name):
            return name
    raise AssertionError("no free name")
