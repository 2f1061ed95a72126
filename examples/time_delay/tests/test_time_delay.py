"""The contract that every domain keeps."""

from distsys.testing.contract import DomainContract
from distsys.testing.subject import Overfit


class TestTimeDelay(DomainContract):
    domain_name = "time_delay"
    overrides = ("data.num_held_out=100",)
    overfit = Overfit("delay", share=0.5)
