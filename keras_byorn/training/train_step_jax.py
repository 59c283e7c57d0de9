"""One step of training on JAX: a pure function of the state."""

import itertools

import jax
import keras

# Whether `keras.distribution` shares batches among devices here.
SHARES_BATCHES = True


class TrainStep:
    """Mixed into `BYORnModel` on the JAX backend.

    Attributes:
        max_steps_per_execution: int or `None`. As many as the backend allows.
    """

    max_steps_per_execution = None

    def train_step(self, state, data):
        trainable, non_trainable, optimizer, metrics = state

        def scaled_loss(trainable):
            mapping = itertools.chain(
                zip(self.trainable_variables, trainable),
                zip(self.non_trainable_variables, non_trainable),
                zip(self.metrics_variables, metrics),
                zip(self.optimizer.variables, optimizer),
            )
            with keras.StatelessScope(state_mapping=mapping) as scope:
                loss = self.objective(data, training=True)
                logs = self.get_metrics_result()
                loss = self.optimizer.scale_loss(loss)
            return loss, (
                logs,
                _values(scope, self.non_trainable_variables),
                _values(scope, self.metrics_variables),
            )

        gradients, aux = jax.grad(scaled_loss, has_aux=True)(trainable)
        logs, non_trainable, metrics = aux
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, trainable
        )
        return logs, (trainable, non_trainable, optimizer, metrics)

    def test_step(self, state, data):
        trainable, non_trainable, metrics = state
        mapping = itertools.chain(
            zip(self.trainable_variables, trainable),
            zip(self.non_trainable_variables, non_trainable),
            zip(self.metrics_variables, metrics),
        )
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.objective(data, training=False)
            logs = self.get_metrics_result()
        non_trainable = _values(scope, self.non_trainable_variables)
        metrics = _values(scope, self.metrics_variables)
        return logs, (trainable, non_trainable, metrics)

    def recording(self, train_function, history):
        """Collects the losses after each execution of a train function.

        In an epoch the values of variables are in the state alone.
        """
        known = [id(variable) for variable in self.non_trainable_variables]
        places = [known.index(id(register)) for register in history.registers]

        def run(state, iterator):
            logs, state = train_function(state, iterator)
            history.collect(*(state[1][place] for place in places))
            return logs, state

        return run


def training_data(batches):
    """Returns the data set that `fit` is to read batches from."""
    return batches


def _values(scope, variables):
    """Values of variables at the end of a stateless scope."""
    return [scope.get_current_value(variable) for variable in variables]
