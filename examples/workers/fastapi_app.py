"""A worker beside a FastAPI application: uvicorn examples.workers.fastapi_app:app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from scheduling_client import Worker

worker = Worker("shop")
sent: list[str] = []


@worker.job("send_mail", concurrency=4, timeout="1m")
async def send_mail(mail: dict[str, str]) -> None:
    sent.append(mail["to"])


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with worker:  # it stops with the application
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/sent")
async def show() -> list[str]:
    return sent
