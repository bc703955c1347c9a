"""Pictures, tables and HTML reports of result files, budgets and plans. Knows no session, store or secret."""

from satqkd.show.budget_picture import plot_budget
from satqkd.show.files import Columns, PassFiles, PassView, Scene, pass_view, read_pass
from satqkd.show.folder import report_of_folder
from satqkd.show.image import as_noise, demo_image, fitted_image, from_ppm, to_ppm
from satqkd.show.optimum_picture import plot_optimum
from satqkd.show.pictures import geometry_picture, image_picture, loss_picture, rate_picture
from satqkd.show.plan_report import write_plan_report
from satqkd.show.plan_view import PlanView, view_of_plan
from satqkd.show.report import IMAGE_PICTURE, pass_report, write_pictures, write_report
from satqkd.show.style import check_place
from satqkd.show.tables import Table, pass_table

__all__ = [
    "IMAGE_PICTURE",
    "Columns",
    "PassFiles",
    "PassView",
    "PlanView",
    "Scene",
    "Table",
    "as_noise",
    "check_place",
    "demo_image",
    "fitted_image",
    "from_ppm",
    "geometry_picture",
    "image_picture",
    "loss_picture",
    "pass_report",
    "pass_table",
    "pass_view",
    "plot_budget",
    "plot_optimum",
    "rate_picture",
    "read_pass",
    "report_of_folder",
    "to_ppm",
    "view_of_plan",
    "write_pictures",
    "write_plan_report",
    "write_report",
]
