"""What actlab can be asked, for every face: plain values in, one frozen answer out."""

from actlab.verbs.advised import Advice as Advice
from actlab.verbs.advised import advise as advise
from actlab.verbs.catalogued import Listing as Listing
from actlab.verbs.catalogued import listing as listing
from actlab.verbs.meaning import AnyActivation as AnyActivation
from actlab.verbs.meaning import meant as meant
from actlab.verbs.measured import Gain as Gain
from actlab.verbs.measured import bench as bench
from actlab.verbs.measured import certify as certify
from actlab.verbs.measured import certify_all as certify_all
from actlab.verbs.measured import gain as gain
from actlab.verbs.measured import memory as memory
from actlab.verbs.shown import Shown as Shown
from actlab.verbs.shown import Source as Source
from actlab.verbs.shown import draw as draw
from actlab.verbs.shown import show as show
from actlab.verbs.shown import source as source
from actlab.verbs.task_choice import Tasks as Tasks
from actlab.verbs.task_choice import tasks as tasks
